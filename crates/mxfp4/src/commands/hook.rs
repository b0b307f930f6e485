//! `mxfp4 hook`

use std::io::Write;

use clap::ValueEnum;
use mxfp4_env::render;

use crate::exit::{Exit, ExitContext, Failure};

/// Print a prompt hook that activates an allowed workspace, and restores on leaving it.
///
/// The line for the shell's start-up file: eval "$(mxfp4 hook bash)" in ~/.bashrc, eval "$(mxfp4 hook zsh)" in ~/.zshrc,
/// mxfp4 hook fish | source in ~/.config/fish/config.fish. For nu: mxfp4 hook nu | save -f ~/.config/nushell/mxfp4.nu,
/// once, and source ~/.config/nushell/mxfp4.nu in config.nu. Nothing of a workspace is used before `mxfp4 allow`.
#[derive(clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// The shells that have a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// Nushell.
    Nu,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<i32> {
    let program = std::env::current_exe().or_exit(Exit::Failed, "cannot tell where mxfp4 is")?;
    let (script, program) = match args.shell {
        Shell::Bash => (
            include_str!("hook/hook.bash"),
            render::posix_quote(program.as_os_str()),
        ),
        Shell::Zsh => (
            include_str!("hook/hook.zsh"),
            render::posix_quote(program.as_os_str()),
        ),
        Shell::Fish => (
            include_str!("hook/hook.fish"),
            render::fish_quote(program.as_os_str()),
        ),
        Shell::Nu => {
            let text = program.to_str().ok_or_else(|| {
                let message = format!(
                    "the path of mxfp4 is not UTF-8, which nu cannot express: {program:?}; move it"
                );
                Failure::new(Exit::Failed, message)
            })?;
            (
                include_str!("hook/hook.nu"),
                render::nu_quote(text).into_bytes(),
            )
        }
    };
    let mut stdout = std::io::stdout().lock();
    let mut parts = script.split("@MXFP4@");
    // The path is absolute: a program of this name in a workspace is never the hook's.
    stdout.write_all(parts.next().unwrap_or_default().as_bytes())?;
    for part in parts {
        stdout.write_all(&program)?;
        stdout.write_all(part.as_bytes())?;
    }
    stdout.flush()?;
    Ok(0)
}
