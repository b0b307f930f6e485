//! What a child starts in sessions of its own, and whose it is. A process has a test program of its own for that: all
//! daemons without a mark are this process's children.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mxfp4_process::{Command, Outcome, Output};

/// The tests run one after the other.
static TURN: Mutex<()> = Mutex::new(());

/// Starts a daemon that says its number and stays.
const DAEMON: &str = "setsid sh -c 'echo $$; exec sleep 100' &";

fn sh(script: &str) -> Command {
    Command::new("sh")
        .args(["-c", script])
        .output(Output::Lines)
        .grace(Duration::from_millis(500))
}

/// Runs it, and returns the numbers that it said.
fn run(command: &Command) -> (Outcome, Vec<String>) {
    let mut pids = Vec::new();
    let outcome = command.run(&mut |line| pids.push(line.text)).unwrap();
    (outcome, pids)
}

fn alive(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

fn end(pid: &str) {
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-9", pid]).status().unwrap().success());
}

#[test]
fn daemons_end_whatever_came_of_the_child() {
    let _turn = TURN.lock().unwrap();
    for (script, daemons, code) in [
        (format!("{DAEMON} sleep 0.3"), 1, 0),
        (format!("{DAEMON} sleep 0.3; exit 3"), 1, 3),
        (format!("{DAEMON} sleep 0.3; kill -9 $$"), 1, 137),
        (format!("{DAEMON} sleep 100"), 1, 143),
        // A daemon of a daemon, one that ignores what can be ignored, and one without an environment.
        (
            "setsid sh -c 'echo $$; setsid sh -c \"echo \\$\\$; exec sleep 100\" & sleep 100' & sleep 0.3".into(),
            2,
            0,
        ),
        ("setsid sh -c 'trap \"\" TERM HUP INT; echo $$; sleep 100; sleep 100' & sleep 0.3".into(), 1, 0),
        ("env -i setsid sh -c 'echo $$; exec sleep 100' & sleep 0.3".into(), 1, 0),
        // Stopped, and many at once.
        ("setsid sh -c 'echo $$; kill -STOP $$' & sleep 0.3".into(), 1, 0),
        (format!("for i in 1 2 3 4 5 6 7 8; do {DAEMON} done; sleep 0.5"), 8, 0),
    ] {
        let start = Instant::now();
        let command = sh(&script).whole_tree().timeout(Duration::from_secs(1));
        let (outcome, pids) = run(&command);
        assert_eq!((outcome.status.code().unwrap_or(outcome.code()), pids.len()), (code, daemons), "{script}");
        let left: Vec<_> = pids.iter().filter(|pid| alive(pid)).collect();
        assert_eq!(left, [""; 0], "{script}");
        assert!(start.elapsed() < Duration::from_secs(20), "{script}");
    }
}

#[test]
fn daemons_of_others_live_on() {
    let _turn = TURN.lock().unwrap();
    // One from before, and one of a child that runs meanwhile.
    let (_, before) = run(&sh(&format!("{DAEMON} sleep 0.3")));
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script = format!(
        "({DAEMON}); until [ -e '{}' ]; do sleep 0.05; done",
        go.display()
    );
    let (sender, pids) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        let command = sh(&script).whole_tree();
        command.run(&mut |line| sender.send(line.text).unwrap())
    });
    let others = pids.recv().unwrap();
    let (outcome, own) = run(&sh(&format!("{DAEMON} sleep 0.3")).whole_tree());
    assert!(outcome.success());
    assert!(!alive(&own[0]));
    assert!(alive(&others), "the other child still runs");
    std::fs::write(go, "").unwrap();
    assert!(other.join().unwrap().unwrap().success());
    assert!(!alive(&others));
    assert!(alive(&before[0]), "what was there before is nobody's");
    end(&before[0]);
}
