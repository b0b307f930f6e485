use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mxfp4_env::render::{fish_quote, nu_quote, posix_quote};

use crate::shells::place::Variables;
use crate::support::{Ran, Skip, repository, tool};

pub const SHELLS: [&str; 5] = ["sh", "bash", "zsh", "fish", "nu"];

pub struct Shell {
    pub name: &'static str,
    program: PathBuf,
}

impl Shell {
    /// The shell, where the machine has it: nu may be where `.ci/run` installs it.
    pub fn find(name: &'static str) -> Result<Self, Skip> {
        let installed = repository().join(".mxfp4/npm/node_modules/@nushell/linux-x64/bin/nu");
        let program = match tool(name) {
            Err(_) if name == "nu" && installed.is_file() => installed,
            found => found?,
        };
        Ok(Self { name, program })
    }

    /// What can be carried: nu has no bytes that are not UTF-8.
    pub fn is_text_only(&self) -> bool {
        self.name == "nu"
    }

    /// `word` in this shell's language.
    pub fn quote(&self, word: impl AsRef<OsStr>) -> Vec<u8> {
        let word = word.as_ref();
        match self.name {
            "fish" => fish_quote(word),
            "nu" => nu_quote(word.to_str().unwrap()).into_bytes(),
            _ => posix_quote(word),
        }
    }

    /// Writes what programs are given to the file `name`.
    pub fn dump(&self, file: &Path) -> Vec<u8> {
        match self.name {
            "nu" => [
                b"^/usr/bin/env -0 | save --raw --force ",
                &*self.quote(file),
                b"\n",
            ]
            .concat(),
            _ => [b"/usr/bin/env -0 > ", &*self.quote(file), b"\n"].concat(),
        }
    }

    pub fn cd(&self, folder: &Path) -> Vec<u8> {
        match self.name {
            // fish's own `cd` takes what begins with a dash for an option; absolute paths begin with none.
            "fish" | "nu" => [b"cd ", &*self.quote(folder), b"\n"].concat(),
            _ => [b"cd -- ", &*self.quote(folder), b"\n"].concat(),
        }
    }

    /// `mxfp4 ARGS`, which is to succeed.
    pub fn mxfp4(&self, args: &str) -> Vec<u8> {
        let program = self.quote(env!("CARGO_BIN_EXE_mxfp4"));
        let run: &[u8] = if self.name == "nu" { b"^" } else { b"" };
        [run, &program, b" ", args.as_bytes(), b"\n"].concat()
    }

    /// Sets a variable as its user would.
    pub fn export(&self, name: &str, value: &str) -> Vec<u8> {
        let value = self.quote(value);
        let name = name.as_bytes();
        match self.name {
            "fish" => [b"set -gx ", name, b" ", &*value, b"\n"].concat(),
            "nu" => [b"$env.", name, b" = ", &*value, b"\n"].concat(),
            _ => [b"export ", name, b"=", &*value, b"\n"].concat(),
        }
    }

    /// Makes the hook one of this shell's, as its start-up file would.
    pub fn hook(&self, folder: &Path) -> Vec<u8> {
        let mxfp4 = env!("CARGO_BIN_EXE_mxfp4");
        match self.name {
            "bash" | "zsh" => format!("eval \"$({mxfp4} hook {})\"\n", self.name).into(),
            "fish" => format!("{mxfp4} hook fish | source\n").into(),
            _ => {
                let output = Command::new(mxfp4).args(["hook", "nu"]).output().unwrap();
                let file = folder.join("hook.nu");
                fs::write(&file, output.stdout).unwrap();
                [b"source ", &*self.quote(file), b"\n"].concat()
            }
        }
    }

    /// What happens before a prompt, where a script does not get one.
    pub fn prompt(&self) -> &'static [u8] {
        match self.name {
            // Interactive: there is a prompt before every line.
            "bash" | "zsh" => b":\n",
            "fish" => b"emit fish_prompt\n",
            _ => b"do --env ($env.config.hooks.pre_prompt | last)\n",
        }
    }

    /// Runs a script in `cwd` with just these variables.
    pub fn script(&self, code: &[u8], cwd: &Path, variables: &Variables) -> Ran {
        let flags: &[&str] = match self.name {
            "bash" => &["--norc", "--noprofile"],
            "zsh" => &["-f"],
            "fish" => &["--no-config"],
            "nu" => &["--no-config-file"],
            _ => &[],
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        fs::write(&file, code).unwrap();
        let mut command = self.command(cwd, variables);
        crate::support::run(command.args(flags).arg(file))
    }

    /// Runs code as it is typed, as far as the shell does that without a terminal.
    pub fn typed(&self, code: &[u8], cwd: &Path, variables: &Variables) -> Ran {
        let flags: &[&str] = match self.name {
            "bash" => &["--norc", "--noprofile", "--noediting", "-i"],
            "zsh" => &["-f", "-i", "+o", "promptsp"],
            _ => return self.script(code, cwd, variables),
        };
        let mut command = self.command(cwd, variables);
        command.args(flags).stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let code = code.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&code));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output.into()
    }

    fn command(&self, cwd: &Path, variables: &Variables) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(variables).current_dir(cwd);
        command
    }
}
