//! `mxfp4 run` and `mxfp4 shell`: this process becomes the program.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::shells::place::{Place, dumped};
use crate::shells::shell::Shell;
use crate::support::{Skip, quoted, run, tool};

pub fn is_the_program() {
    let place = Place::new("work");
    let script = "read line; echo \"$$ $line\"; pwd; echo err >&2; exit 7";
    let mut command = place.mxfp4();
    command.args(["run", "--", "sh", "-c", script]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    child.stdin.take().unwrap().write_all(b"in\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let expected = format!("{pid} in\n{}\n", place.deep().display());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(output.stderr, b"err\n");

    let mut command = place.mxfp4();
    command.args(["run", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(command.status().unwrap().signal(), Some(15));

    // A pipe that nobody reads ends it as it ends any program.
    let mut command = place.mxfp4();
    command.args(["run", "--", "sh", "-c", "kill -PIPE $$"]);
    assert_eq!(command.status().unwrap().signal(), Some(13));

    // Without `--`, too; the program's flags are its own.
    let ran = place.ran(&["run", "printf", "%s|", "--help", "--root", "-v", "--"]);
    assert_eq!(
        (ran.code, &*ran.stdout),
        (Some(0), "--help|--root|-v|--|"),
        "{ran:?}"
    );
    let ran = place.ran(&["run", "--debug", "--", "printenv", "MODULAR_DEBUG"]);
    assert_eq!(ran.stdout, "device-sync-mode\n", "{ran:?}");
}

pub fn path() {
    let place = Place::new("work");
    let ran = place.ran(&["run", "--", "mojo", "build", "a b"]);
    assert_eq!(
        (ran.code, &*ran.stdout),
        (Some(0), "started build a b\n"),
        "{ran:?}"
    );
}

pub fn cannot_be_started() {
    let place = Place::new("work");
    for (program, code) in [("no-such-program", 127), ("/", 126)] {
        let ran = place.ran(&["run", "--", program]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let expected = format!("error: cannot run `{program}`: ");
        assert!(ran.stderr.starts_with(&expected), "{ran:?}");
    }
    assert_eq!(place.ran(&["run"]).code, Some(2));
    assert_eq!(
        place.ran(&["run", "--root", "/", "--", "true"]).code,
        Some(3)
    );
    let ran = run(place
        .mxfp4()
        .args(["run", "--strict", "--", "true"])
        .env("MXFP4_SDK", "/nowhere"));
    assert_eq!(ran.code, Some(4), "{ran:?}");
}

pub fn shell() {
    let place = Place::new("work");
    let mut command = place.mxfp4();
    command.arg("shell").env("SHELL", "/bin/sh");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"echo $MXFP4_SHELL; exit 7\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let root = place.root.display();
    assert_eq!(output.stdout, format!("{root}\n").as_bytes());
    let says = format!("/bin/sh in the environment of {root}; leave it with `exit`\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), says);
    let ran = place.ran(&["shell", "--quiet", "--shell", "/bin/true"]);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    let ran = place.ran(&["shell", "--shell", "no-such-shell"]);
    assert_eq!(ran.code, Some(127), "{ran:?}");
}

pub fn nested() {
    let (one, other) = (Place::new("one"), Place::new("other"));
    let inside = |place: &Place| {
        let mut command = place.mxfp4();
        command.args(["shell", "--shell", "/bin/true"]);
        run(command.env("MXFP4_SHELL", &one.root))
    };
    let ran = inside(&one);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("leave it with `exit`"), "{ran:?}");
    assert_eq!(
        inside(&other).code,
        Some(0),
        "another workspace's may be started"
    );
}

/// In a terminal: the program is in its foreground, reads from it, and Ctrl-C ends it.
pub fn terminal() -> Result<(), Skip> {
    let script = tool("script")?;
    let place = Place::new("work");
    let mxfp4 = quoted(env!("CARGO_BIN_EXE_mxfp4"));
    let program =
        "test -t 0 && test -t 1 && test -t 2 && read line && echo \"got $line\" && exec sleep 600";
    let line = format!(
        "exec env --default-signal=INT,QUIT,TERM {mxfp4} run -- sh -c {}",
        quoted(program)
    );
    let mut child = Command::new(script)
        .args(["-qec", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("MXFP4_SDK", place.root.join(".venv"))
        .current_dir(place.deep())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a line\n").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().trim_end() == "got a line"));
    stdin.write_all(b"\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    Ok(())
}

/// An interactive shell reads its start-up files, and has the environment all the same: what they put on PATH comes
/// after the workspace's programs.
pub fn start_up_files(shell: &Shell) -> Result<(), Skip> {
    let script = tool("script")?;
    let place = Place::new("a b'c");
    let file = match shell.name {
        "fish" => ".config/fish/config.fish",
        "zsh" => ".zshrc",
        _ => ".bashrc",
    };
    let file = place.home().join(file);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let start_up: &str = match shell.name {
        "fish" => "set -gx PATH /mine $PATH; set -gx STARTED yes",
        _ => "export PATH=/mine:$PATH STARTED=yes",
    };
    fs::write(file, start_up).unwrap();
    let dump = place.base().join("dump");
    let done = place.base().join("done");
    let line = format!(
        "exec env --default-signal=INT,QUIT,TERM {} shell --shell {}",
        quoted(env!("CARGO_BIN_EXE_mxfp4")),
        shell.name
    );
    let mut variables = place.ambient("/plain".as_ref());
    variables.insert("SHELL".into(), "/bin/sh".into());
    variables.insert("TERM".into(), "dumb".into());
    let mut child = Command::new(script)
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .envs(&variables)
        .current_dir(place.deep())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut typed = shell.dump(&dump);
    typed.extend(b"echo > ");
    typed.extend(shell.quote(&done));
    typed.push(b'\n');
    // What is typed before the shell is ready may be lost.
    let end = Instant::now() + Duration::from_secs(120);
    while !done.exists() {
        assert!(Instant::now() < end, "the shell does nothing");
        stdin.write_all(&typed).unwrap();
        std::thread::sleep(Duration::from_millis(500));
    }
    stdin.write_all(b"exit\n").unwrap();
    drop(stdin);
    child.wait().unwrap();
    let got = dumped(&dump);
    let get = |name: &str| {
        got.get(OsStr::new(name))
            .map(|value| value.to_str().unwrap())
    };
    assert_eq!(get("STARTED"), Some("yes"), "{got:?}");
    assert_eq!(get("ZDOTDIR"), None);
    let venv = place.root.join(".venv");
    let expected = format!(
        "{0}/lib/python3.11/site-packages/modular/bin:{0}/bin:/mine:/usr/local/bin:/usr/bin:/bin:/plain",
        venv.display()
    );
    assert_eq!(get("PATH"), Some(&*expected));
    Ok(())
}
