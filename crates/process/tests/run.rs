//! What a child, its group and the caller see: exit codes, output, environment,
//! timeouts and stopping. Real `sh` processes throughout.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::{Duration, Instant};

use mxfp4_process::{Background, Command, Error, Line, Output, Stream};

fn sh(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

fn lines(command: Command) -> Vec<Line> {
    let mut lines = Vec::new();
    command
        .output(Output::Lines)
        .run(&mut |line| lines.push(line))
        .unwrap();
    lines
}

fn alive(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

#[test]
fn exit_codes() {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let outcome = sh(script).status().unwrap();
        assert_eq!(outcome.code(), code, "{script}: {outcome}");
        assert_eq!(outcome.success(), code == 0);
        assert_eq!(outcome.interrupted, None);
    }
}

#[test]
fn a_missing_program_is_named() {
    let error = Command::new("/nowhere/mojo").status().unwrap_err();
    assert!(
        matches!(&error, Error::Start { program, .. } if program == Path::new("/nowhere/mojo"))
    );
    assert_eq!(error.to_string(), "cannot run `/nowhere/mojo`");
    let error = sh("").cwd("/nowhere").status().unwrap_err();
    assert_eq!(error.to_string(), "cannot run `sh` in /nowhere");
}

#[test]
fn lines_of_both_streams() {
    let got = lines(sh(
        r"printf 'one\r\ntwo\n\n'; printf 'b\377d' >&2; printf last",
    ));
    let of = |stream| -> Vec<&str> {
        let of_stream = got.iter().filter(|line| line.stream == stream);
        of_stream.map(|line| line.text.as_str()).collect()
    };
    assert_eq!(of(Stream::Stdout), ["one", "two", "", "last"]);
    assert_eq!(of(Stream::Stderr), ["b\u{fffd}d"]);
}

#[test]
fn much_output_is_delivered_whole() {
    let got = lines(sh("seq 1 50000; seq 1 50000 >&2"));
    assert_eq!(got.len(), 100_000);
}

#[test]
fn a_child_that_reads_its_input_gets_none() {
    assert_eq!(lines(sh("cat; echo end"))[0].text, "end");
}

#[test]
fn environment_and_folder() {
    let folder = tempfile::tempdir().unwrap();
    let got = lines(
        sh("echo \"$A-${HOME-unset}\"; pwd -P")
            .env("A", "first")
            .env("A", "second")
            .env_remove("HOME")
            .cwd(folder.path()),
    );
    assert_eq!(got[0].text, "second-unset");
    assert_eq!(
        Path::new(&got[1].text),
        folder.path().canonicalize().unwrap()
    );
}

#[test]
fn a_shell_runs_the_dry_run_line() {
    let parent = tempfile::tempdir().unwrap();
    let mut name = b"it's a $HOME `x` \"q\"\n;&".to_vec();
    name.push(0xff);
    let folder = parent.path().join(OsString::from_vec(name.clone()));
    std::fs::create_dir(&folder).unwrap();
    let out = parent.path().join("out");
    let command = sh(r#"{ printf '<%s>' "$@" "$NASTY" "${HOME-unset}"; pwd -P; } > "$OUT""#)
        .args(["sh", "", "a b", "--flag=$x", "~", "*"])
        .arg(OsString::from_vec(name.clone()))
        .env("NASTY", OsString::from_vec(name))
        .env("OUT", &out)
        .env_remove("HOME")
        .cwd(&folder);

    assert!(command.status().unwrap().success());
    let run = std::fs::read(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    let evaluated = std::process::Command::new("sh")
        .arg("-c")
        .arg(OsString::from_vec(command.dry_run()))
        .status()
        .unwrap();
    assert!(evaluated.success());
    assert_eq!(
        String::from_utf8_lossy(&std::fs::read(&out).unwrap()),
        String::from_utf8_lossy(&run)
    );
    assert!(run.starts_with(b"<><a b><--flag=$x><~><*><it's a "));
}

#[test]
fn the_dry_run_line_of_a_plain_command_is_plain() {
    let command = Command::new("/sdk/bin/mojo").arg("run").env("A", "x");
    assert_eq!(command.dry_run(), b"A=x /sdk/bin/mojo run");
}

#[test]
fn a_timeout_ends_the_group_even_what_ignores_sigterm() {
    let mut pids = Vec::new();
    let start = Instant::now();
    let outcome = sh(
        "trap '' TERM; (trap '' TERM; sleep 100 & echo $!; wait; sleep 100) & \
         echo $!; sleep 100; sleep 100",
    )
    .output(Output::Lines)
    .timeout(Duration::from_millis(300))
    .grace(Duration::from_millis(300))
    .run(&mut |line| pids.push(line.text))
    .unwrap();
    assert!(outcome.timed_out);
    assert!(!outcome.success());
    assert_eq!(outcome.code(), 137);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(pids.len(), 2);
    assert!(!pids.iter().any(|pid| alive(pid)), "{pids:?} still there");
}

#[test]
fn what_the_child_leaves_behind_is_ended_and_reaped() {
    let mut pids = Vec::new();
    let outcome = sh("sleep 100 & echo $!; (trap '' TERM; sleep 100) & echo $!; exit 3")
        .output(Output::Lines)
        .grace(Duration::from_millis(300))
        .run(&mut |line| pids.push(line.text))
        .unwrap();
    assert_eq!(outcome.code(), 3);
    assert!(!pids.iter().any(|pid| alive(pid)), "{pids:?} still there");
}

#[test]
fn a_daemon_that_holds_the_pipe_does_not_hold_the_caller() {
    let start = Instant::now();
    let mut pid = String::new();
    let outcome = sh("setsid sh -c 'echo $$; exec sleep 100' & sleep 0.2")
        .output(Output::Lines)
        .run(&mut |line| pid = line.text)
        .unwrap();
    assert!(outcome.success());
    assert!(start.elapsed() < Duration::from_secs(10));
    std::process::Command::new("kill")
        .arg(&pid)
        .status()
        .unwrap();
}

#[test]
fn a_background_child_is_stopped_and_dropped() {
    let (sender, pids) = std::sync::mpsc::channel();
    let start = || {
        let sender = sender.clone();
        let command = sh("sleep 100 & echo $!; wait").output(Output::Lines);
        Background::start(command, move |line| sender.send(line.text).unwrap())
    };
    let child = start();
    let pid = pids.recv().unwrap();
    assert!(!child.ended());
    let outcome = child.stop().unwrap();
    assert!(outcome.stopped);
    assert_eq!(outcome.interrupted, None);
    assert!(!alive(&pid));

    let child = start();
    let pid = pids.recv().unwrap();
    drop(child);
    assert!(!alive(&pid));

    let child = Background::start(sh("exit 4"), |_| {});
    assert_eq!(child.wait().unwrap().code(), 4);
}

#[test]
fn a_detached_child_has_a_session_of_its_own_and_writes_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let file = std::fs::File::create(&log).unwrap();
    let mut child = Command::new("sh")
        .args([
            "-c",
            "cut -d\" \" -f6 /proc/$$/stat; echo $VALUE; echo $$ >&2",
        ])
        .env("VALUE", "set")
        .detach(&file)
        .unwrap();
    assert!(child.wait().unwrap().success());
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pid = child.id().to_string();
    assert_eq!(lines, [pid.as_str(), "set", pid.as_str()]);

    let error = Command::new("/nonexistent").detach(&file).unwrap_err();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}
