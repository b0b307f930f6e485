use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use mxfp4_env::render::{fish_quote, nu_quote, posix_quote};
use mxfp4_process::Command;

use crate::context::Context;

/// Has an interactive shell evaluate the environment once more, after its start-up
/// files: what those put on PATH (conda's, for one) would hide the workspace's
/// programs. `None` of a shell that this cannot be asked of.
pub fn after_start_up_files(
    command: &Command,
    program: &Path,
    context: &Context,
) -> io::Result<Option<Command>> {
    let mxfp4 = std::env::current_exe()?;
    let root = &context.workspace.root;
    let quoted = |quote: fn(&std::ffi::OsStr) -> Vec<u8>, shell: &str| -> Vec<u8> {
        let (mxfp4, root) = (quote(mxfp4.as_os_str()), quote(root.as_os_str()));
        [
            &*mxfp4,
            b" --root ",
            &*root,
            b" env --shell ",
            shell.as_bytes(),
        ]
        .concat()
    };
    let eval = || {
        [
            b"eval \"$(".to_vec(),
            quoted(posix_quote, "posix"),
            b")\"\n".to_vec(),
        ]
        .concat()
    };
    let folder = context.workspace.state_dir().join("shell");
    let command = command.clone();
    Ok(Some(
        match program.file_name().and_then(|name| name.to_str()) {
            Some("bash") => {
                let file = folder.join("bashrc");
                write(&file, &[include_bytes!("startup.bash"), &*eval()].concat())?;
                command.arg("--rcfile").arg(file)
            }
            Some("zsh") => {
                write(&folder.join(".zshenv"), include_bytes!("startup.zshenv"))?;
                let rc = [include_bytes!("startup.zshrc"), &*eval()].concat();
                write(&folder.join(".zshrc"), &rc)?;
                let users = context.ambient.get("ZDOTDIR");
                let command =
                    users.map_or(command.clone(), |users| command.env("MXFP4_ZDOTDIR", users));
                command.env("ZDOTDIR", folder)
            }
            Some("fish") => {
                let code = [quoted(fish_quote, "fish"), b" | source".to_vec()].concat();
                command
                    .arg("--init-command")
                    .arg(std::ffi::OsString::from_vec(code))
            }
            Some("nu") => match (mxfp4.to_str(), root.to_str()) {
                (Some(mxfp4), Some(root)) => {
                    let code = include_str!("startup.nu")
                        .replace("@MXFP4@", &nu_quote(mxfp4))
                        .replace("@ROOT@", &nu_quote(root));
                    command.arg("--execute").arg(code)
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        },
    ))
}

/// Writes `file`, unless it says this already. Another shell may be reading it.
fn write(file: &PathBuf, text: &[u8]) -> io::Result<()> {
    if fs::read(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    mxfp4_fs::write(file, text)
}
