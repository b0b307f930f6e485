//! What is written in color and when, and how much `-q`, `-v` and `-vv` let through.

use std::fs::File;
use std::io::Read;
use std::process::Command;

use crate::support::{Ran, folder, mxfp4, run, trial};
use libtest_mimic::{Failed, Trial};
use nix::pty::openpty;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (what, args, config) in WRITES {
        for when in WHEN {
            let name = format!("{what}_with_{}", when.name);
            trials.push(trial::test(module_path!(), name, move || {
                when.test(args, config)
            }));
        }
    }
    trials.push(trial::test(
        module_path!(),
        "a_color_that_is_none",
        a_color_that_is_none,
    ));
    trials.push(trial::test(
        module_path!(),
        "the_color_of_a_program_that_is_run",
        the_color_of_a_program,
    ));
    trials.push(trial::test(
        module_path!(),
        "quiet_and_verbose",
        quiet_and_verbose,
    ));
    trials
}

/// Command lines that write something on stderr: clap, an error of ours, a warning in the log.
const WRITES: [(&str, &[&str], &str); 3] = [
    ("a_wrong_command_line", &["nonsense"], ""),
    ("an_error", &["build"], "[sdk]\npath = \"nowhere\"\n"),
    ("a_warning", &["env"], "[sdk]\npath = \"nowhere\"\n"),
];

/// Whether stderr is a terminal and what is set, and whether color is what comes of it.
struct When {
    name: &'static str,
    terminal: bool,
    args: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
    colored: bool,
}

const WHEN: &[When] = &[
    When {
        name: "a_pipe",
        terminal: false,
        args: &[],
        variables: &[],
        colored: false,
    },
    When {
        name: "a_pipe_and_always",
        terminal: false,
        args: &["--color", "always"],
        variables: &[],
        colored: true,
    },
    When {
        name: "a_pipe_and_clicolor_force",
        terminal: false,
        args: &[],
        variables: &[("CLICOLOR_FORCE", "1")],
        colored: true,
    },
    When {
        name: "a_terminal",
        terminal: true,
        args: &[],
        variables: &[],
        colored: true,
    },
    When {
        name: "a_terminal_and_no_color",
        terminal: true,
        args: &["--color=auto"],
        variables: &[("NO_COLOR", "1")],
        colored: false,
    },
    When {
        name: "no_color_and_always",
        terminal: false,
        args: &["--color=always"],
        variables: &[("NO_COLOR", "1")],
        colored: true,
    },
    When {
        name: "a_terminal_and_never",
        terminal: true,
        args: &["--color=never"],
        variables: &[("CLICOLOR_FORCE", "1")],
        colored: false,
    },
];

impl When {
    fn test(&self, args: &[&str], config: &str) -> Result<(), Failed> {
        let workspace = folder([("mxfp4.toml", config)]);
        let mut command = mxfp4(workspace.path());
        command
            .args(self.args)
            .args(args)
            .env("TERM", "xterm")
            .envs(self.variables.iter().copied());
        let written = if self.terminal {
            on_a_terminal(&mut command)?
        } else {
            run(&mut command).stderr
        };
        let prefixed = written.contains("error:") || written.contains("warning:");
        if prefixed && written.contains('\x1b') == self.colored {
            return Ok(());
        }
        Err(format!("colored is not {}: {written:?}", self.colored).into())
    }
}

/// What the command writes when its stderr is a terminal.
fn on_a_terminal(command: &mut Command) -> Result<String, Failed> {
    let pty = openpty(None, None)?;
    let mut child = command
        .stdout(std::process::Stdio::null())
        .stderr(pty.slave)
        .spawn()?;
    // It holds the terminal's other end.
    command.stderr(std::process::Stdio::null());
    let mut bytes = Vec::new();
    // Linux ends the reading with an error when the last writer is gone.
    let _ = File::from(pty.master).read_to_end(&mut bytes);
    child.wait()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn a_color_that_is_none() -> Result<(), Failed> {
    let workspace = folder([("mxfp4.toml", "")]);
    let ran = run(mxfp4(workspace.path()).args(["env", "--color", "blue"]));
    let says = ["blue", "auto, always, never"];
    if ran.code == Some(2) && says.iter().all(|part| ran.stderr.contains(part)) {
        return Ok(());
    }
    Err(format!("{ran:#?}").into())
}

/// What follows the program's name is the program's.
fn the_color_of_a_program() -> Result<(), Failed> {
    let workspace = folder([("mxfp4.toml", "[sdk]\npath = \"nowhere\"\n")]);
    let ran = run(mxfp4(workspace.path()).args(["run", "echo", "--color=always"]));
    match ran.stderr.contains("nowhere") && !ran.stderr.contains('\x1b') {
        true => Ok(()),
        false => Err(format!("{ran:#?}").into()),
    }
}

/// With a compiler that only pretends: -q leaves warnings and results, -v adds the commands, -vv times and decisions.
fn quiet_and_verbose() -> Result<(), Failed> {
    use std::os::unix::fs::PermissionsExt;
    let workspace = folder([
        ("mxfp4.toml", "[sdk]\npath = \"sdk\"\n"),
        ("kernels/mxfp4/__init__.mojo", ""),
        (
            "sdk/modular/bin/mojo",
            "#!/bin/sh\nfor out; do :; done\necho package > \"$out\"\n",
        ),
        ("sdk/modular/lib/mojo/std.mojoc", ""),
    ]);
    let root = workspace.path();
    let compiler = root.join("sdk/modular/bin/mojo");
    std::fs::set_permissions(&compiler, PermissionsExt::from_mode(0o755))?;
    let build = |flags: &[&str]| -> Result<Ran, Failed> {
        let ran = run(mxfp4(root).arg("build").args(flags));
        let package = format!("{}\n", root.join("build/mxfp4.mojoc").display());
        match ran.code == Some(0) && ran.stdout == package {
            true => Ok(ran),
            false => Err(format!("{ran:#?}").into()),
        }
    };
    let again = |flags: &[&str]| {
        let _ = std::fs::remove_dir_all(root.join("build"));
        build(flags)
    };
    let precompile = "/sdk/modular/bin/mojo precompile ";
    let quiet = again(&["-q"])?.stderr;
    let normal = again(&[])?.stderr;
    let verbose = again(&["-v"])?.stderr;
    let timed = again(&["-vv"])?.stderr;
    let fresh = build(&["-vv"])?.stderr;
    let holds = quiet.is_empty()
        && normal == "compiling mxfp4\n"
        && verbose.contains("compiling mxfp4\n")
        && verbose.contains(precompile)
        && !verbose.contains("exit code")
        && timed.contains(precompile)
        && timed.contains("/sdk/modular/bin/mojo: exit code 0\n")
        && fresh.contains("build/mxfp4.mojoc is up to date\n")
        && fresh.starts_with("   ");
    match holds {
        true => Ok(()),
        false => Err(format!("{:#?}", [quiet, normal, verbose, timed, fresh]).into()),
    }
}
