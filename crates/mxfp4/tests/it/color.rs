//! What is written in color and when, and how much `-q`, `-v` and `-vv` let through.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::{Ran, folder, mxfp4, run, trial};
use libtest_mimic::{Failed, Trial};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for write in &WRITES {
        for when in WHEN {
            let name = format!("{}_with_{}", write.what, when.name);
            trials.push(trial::test(module_path!(), name, move || when.test(write)));
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

/// Command lines that write something in color: clap, an error of ours, of a program that is run, and of a compiler, a
/// warning in the log, how a test ended, how a round of the watch ended.
const WRITES: [Write; 7] = [
    Write {
        what: "a_wrong_command_line",
        args: &["nonsense"],
        config: "",
        on: Stream::Stderr,
        word: "error:",
    },
    Write {
        what: "an_error",
        args: &["build"],
        config: NOWHERE,
        on: Stream::Stderr,
        word: "error:",
    },
    Write {
        what: "a_program_that_is_not_there",
        args: &["run", "--", "no-such-program"],
        config: "",
        on: Stream::Stderr,
        word: "error:",
    },
    Write {
        what: "a_warning",
        args: &["env"],
        config: NOWHERE,
        on: Stream::Stderr,
        word: "warning:",
    },
    Write {
        what: "a_diagnostic",
        args: &["build", "-q"],
        config: BROKEN,
        on: Stream::Stderr,
        word: "use of unknown declaration",
    },
    Write {
        what: "a_test_result",
        args: &["test", "-q"],
        config: STUB,
        on: Stream::Stdout,
        word: "PASS",
    },
    Write {
        what: "a_round_of_the_watch",
        args: &["build", "--watch", "--no-test"],
        config: STUB,
        on: Stream::Stderr,
        word: "ok",
    },
];

const NOWHERE: &str = "[sdk]\npath = \"nowhere\"\n";
const STUB: &str = "[sdk]\npath = \"sdk\"\n[tests]\npython = []\n";
const BROKEN: &str =
    "[sdk]\npath = \"sdk\"\n[[kernels]]\nname = \"broken\"\nsource = \"kernels/broken\"\n";

/// Something that is written in color.
struct Write {
    what: &'static str,
    args: &'static [&'static str],
    config: &'static str,
    on: Stream,
    /// What is in color, or has its line in color.
    word: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Stdout,
    Stderr,
}

/// A compiler that pretends, and that takes a package `broken` for what it says.
const MOJO: &str = r#"#!/bin/sh
case "$*" in
*broken*)
    printf '%s\n' '{"kind":"error","message":"use of unknown declaration","diagnostic":{"file":"kernels/broken/__init__.mojo","location":{"line":1,"column":0},"ranges":[],"text":"x","fixIts":[]}}' >&2
    exit 1 ;;
esac
[ "$1" = run ] && { for file; do :; done; exec sh "$file"; }
while [ $# -gt 1 ]; do [ "$1" = -o ] && echo package > "$2"; shift; done
"#;

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
    fn test(&self, write: &Write) -> Result<(), Failed> {
        let workspace = folder([
            ("mxfp4.toml", write.config),
            ("kernels/mxfp4/__init__.mojo", ""),
            ("kernels/broken/__init__.mojo", "x"),
            ("kernels/test/test_a.mojo", "echo PASS one"),
            ("sdk/modular/bin/mojo", MOJO),
            ("sdk/modular/lib/mojo/std.mojoc", ""),
        ]);
        let compiler = workspace.path().join("sdk/modular/bin/mojo");
        fs::set_permissions(&compiler, PermissionsExt::from_mode(0o755))?;
        let mut command = mxfp4(workspace.path());
        command
            .args(self.args)
            .args(write.args)
            .env("TERM", "xterm")
            .env("CUDA_VISIBLE_DEVICES", "")
            .envs(self.variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let written = written(&mut command, write, self.terminal)?;
        let line = written.lines().find(|line| line.contains(write.word));
        let line = line.ok_or_else(|| format!("{} is not in {written:?}", write.word))?;
        match line.contains('\x1b') == self.colored {
            true => Ok(()),
            false => Err(format!("colored is not {}: {written:?}", self.colored).into()),
        }
    }
}

/// What the command writes to its stream, a terminal or a pipe, up to the line with the word; then it is ended.
fn written(command: &mut Command, write: &Write, terminal: bool) -> Result<String, Failed> {
    let (reader, writer): (File, Stdio) = match terminal {
        true => {
            let pty = openpty(None, None)?;
            (pty.master.into(), pty.slave.into())
        }
        false => {
            let (reader, writer) = nix::unistd::pipe()?;
            (reader.into(), writer.into())
        }
    };
    match write.on {
        Stream::Stdout => command.stdout(writer),
        Stream::Stderr => command.stderr(writer),
    };
    let mut child = command.spawn()?;
    // It holds the other end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut text = String::new();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    // Linux ends the reading of a terminal with an error when the last writer is gone.
    while matches!(reader.read_until(b'\n', &mut line), Ok(bytes) if bytes > 0) {
        text += &String::from_utf8_lossy(&line);
        if String::from_utf8_lossy(&line).contains(write.word) {
            break;
        }
        line.clear();
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).ok();
    child.wait()?;
    Ok(text)
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
