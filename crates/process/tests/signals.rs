//! Signals that reach the caller. The tests start this test binary once more as
//! the caller (`caller` below), for a signal is felt by a whole process.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mxfp4_process::{CaughtSignals, Command, Interrupts, interrupted};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Runs the script in `SCRIPT`, as the other tests' caller, and exits with its
/// outcome's code. By itself it only sees a child run undisturbed.
#[test]
fn caller() {
    let script = std::env::var("SCRIPT");
    let mut command = Command::new("sh")
        .args(["-c", script.as_deref().unwrap_or("exit 0")])
        .grace(Duration::from_secs(2));
    if std::env::var_os("LEADER_FIRST").is_some() {
        // Longer than the script takes, on a busy machine too.
        command = command.leader_first().grace(Duration::from_secs(60));
    }
    if std::env::var_os("PREPARE").is_some() {
        command = command.before_end(|| {
            std::fs::write("prepared", "").unwrap();
            std::thread::sleep(Duration::from_millis(300));
        });
    }
    if std::env::var_os("WHOLE_TREE").is_some() {
        command = command.whole_tree();
    }
    let told = std::env::var_os("INTERRUPTS")
        .map(|_| Interrupts::start(|| std::fs::write("told", "").unwrap()).unwrap());
    let outcome = command.status().unwrap();
    drop(told);
    if std::env::var_os("CATCH").is_some() {
        let _caught = CaughtSignals::start().unwrap();
        std::fs::write("catching", "").unwrap();
        let signal = loop {
            match interrupted() {
                Some(signal) => break signal,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        std::fs::write("caught", "").unwrap();
        if std::env::var_os("LINGER").is_none() {
            std::process::exit(128 + signal);
        }
    }
    if std::env::var_os("LINGER").is_some() {
        std::fs::write("lingering", "").unwrap();
        std::thread::sleep(Duration::from_secs(100));
    }
    if script.is_ok() {
        std::process::exit(outcome.code());
    }
    assert_eq!((outcome.code(), outcome.interrupted), (0, None));
}

struct Caller {
    process: Child,
    folder: tempfile::TempDir,
}

impl Caller {
    /// A caller whose script has created the file `ready` in its folder.
    fn start(script: &str) -> Self {
        Self::start_with(script, |_| {})
    }

    fn start_with(script: &str, change: impl FnOnce(&mut std::process::Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = std::process::Command::new("sh");
        // Whoever runs the tests may ignore signals (nohup does), and that would be inherited.
        let run =
            "exec env --default-signal=HUP,INT,QUIT,TERM $BEFORE \"$0\" --exact caller --nocapture";
        command
            .args(["-c", run])
            .arg(std::env::current_exe().unwrap())
            .env("SCRIPT", script)
            .env("BEFORE", "")
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        change(&mut command);
        let process = command.spawn().unwrap();
        let caller = Self { process, folder };
        caller.wait_for("ready");
        caller
    }

    fn wait_for(&self, name: &str) {
        let path = self.folder.path().join(name);
        until(&format!("{name} to appear"), || path.exists());
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the caller does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The state letter of a process; `None` when there is no such process.
fn state(pid: &str) -> Option<char> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

const CHILD_AND_GRANDCHILD: &str = "sleep 100 & echo $! > pid; echo $$ > leader; > ready; wait";

#[test]
fn the_child_may_end_in_its_own_way() {
    for (signal, name, code) in [
        (Signal::SIGINT, "INT", 130),
        (Signal::SIGTERM, "TERM", 143),
        (Signal::SIGHUP, "HUP", 129),
        (Signal::SIGQUIT, "QUIT", 131),
    ] {
        let script = format!(
            "trap 'echo {name} > got; exit 0' {name}; > ready; while :; do sleep 0.05; done"
        );
        let mut caller = Caller::start(&script);
        caller.signal(signal);
        assert_eq!(caller.wait().code(), Some(code));
        assert_eq!(caller.read("got").trim(), name);
    }
}

#[test]
fn sigterm_reaches_the_whole_group() {
    let mut caller = Caller::start(CHILD_AND_GRANDCHILD);
    caller.signal(Signal::SIGTERM);
    assert_eq!(caller.wait().code(), Some(143));
    assert_eq!(state(&caller.read("pid")), None);
}

#[test]
fn what_ignores_the_signal_is_killed_after_the_grace_period() {
    let mut caller = Caller::start(&format!("trap '' INT TERM; {CHILD_AND_GRANDCHILD}"));
    let start = Instant::now();
    // As timeout(1) does: twice, and no reason to hurry.
    caller.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(100));
    caller.signal(Signal::SIGTERM);
    assert_eq!(caller.wait().code(), Some(143));
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!(state(&caller.read("pid")), None);
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    let mut caller = Caller::start(&format!("trap '' INT TERM; {CHILD_AND_GRANDCHILD}"));
    let start = Instant::now();
    caller.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(200));
    caller.signal(Signal::SIGINT);
    assert_eq!(caller.wait().code(), Some(130));
    assert!(start.elapsed() < Duration::from_millis(1500));
    assert_eq!(state(&caller.read("pid")), None);
}

#[test]
fn a_killed_caller_takes_its_child_along() {
    // A job that has not become `sleep` yet has the shell's trap, and would
    // survive: hence the pause.
    let mut caller = Caller::start(
        "trap 'kill $!; exit' TERM; sleep 100 & echo $! > pid; echo $$ > leader; \
         sleep 0.2; > ready; wait",
    );
    caller.signal(Signal::SIGKILL);
    assert_eq!(caller.wait().signal(), Some(9));
    for name in ["leader", "pid"] {
        let pid = caller.read(name);
        until("the child to end", || {
            matches!(state(&pid), None | Some('Z'))
        });
    }
}

/// What is left of a caller and all that it started, grandchildren and helpers too: the processes with the caller's
/// mark in their environment.
fn survivors(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        // A zombie has no environment any more, and one that is gone no file.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else {
            continue;
        };
        if environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == mark.as_bytes())
        {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn nothing_survives_however_the_caller_ends() {
    // A tree of four, none of which cares for a signal that can be ignored.
    let deaf = "trap '' INT TERM HUP QUIT; sh -c '(sleep 100; sleep 100) & sleep 100; sleep 100' & \
                while [ ! -d /proc/$! ]; do sleep 0.05; done; > ready; wait; sleep 100";
    // One that ends when asked to, and leaves its own children behind.
    let careless = "trap 'exit' INT TERM HUP; (trap '' INT TERM HUP; > deaf; sleep 100) & \
                    while [ ! -e deaf ]; do sleep 0.05; done; > ready; wait";
    let ends: [(&str, &[Signal]); 5] = [
        ("Ctrl-C", &[Signal::SIGINT]),
        ("Ctrl-C twice", &[Signal::SIGINT, Signal::SIGINT]),
        ("SIGTERM", &[Signal::SIGTERM]),
        ("SIGHUP", &[Signal::SIGHUP]),
        ("SIGKILL", &[Signal::SIGKILL]),
    ];
    for (number, script) in [deaf, careless].into_iter().enumerate() {
        for (name, signals) in ends {
            let value = format!("{}-{number}-{name}", std::process::id());
            let mut caller = Caller::start_with(script, |command| {
                command.env("TREE", &value);
            });
            let mark = format!("TREE={value}");
            assert!(survivors(&mark).len() >= 3, "{name}: the tree stands");
            for signal in signals {
                caller.signal(*signal);
                std::thread::sleep(Duration::from_millis(100));
            }
            let status = caller.wait();
            if signals == [Signal::SIGKILL] {
                assert_eq!(status.signal(), Some(9));
                until("the tree to end", || survivors(&mark).is_empty());
            } else {
                assert_eq!(status.code(), Some(128 + signals[0] as i32), "{name}");
                assert_eq!(survivors(&mark), [""; 0], "{name}");
            }
        }
    }
}

#[test]
fn no_session_survives_however_the_caller_ends() {
    // One in a session of its own that ends when asked to, one that does not, and one that the other has started.
    let script = "setsid sleep 100 & setsid sh -c 'trap \"\" INT TERM HUP; setsid sleep 100 & > deaf; sleep 100; sleep 100' & \
                  while [ ! -e deaf ]; do sleep 0.05; done; > ready; wait";
    for (name, signals) in [
        ("Ctrl-C", &[Signal::SIGINT][..]),
        ("Ctrl-C twice", &[Signal::SIGINT, Signal::SIGINT]),
        ("SIGTERM", &[Signal::SIGTERM]),
        ("SIGKILL", &[Signal::SIGKILL]),
    ] {
        let value = format!("{}-sessions-{name}", std::process::id());
        let mut caller = Caller::start_with(script, |command| {
            command.env("TREE", &value).env("WHOLE_TREE", "1");
        });
        let mark = format!("TREE={value}");
        assert!(survivors(&mark).len() >= 5, "{name}: the tree stands");
        for signal in signals {
            caller.signal(*signal);
            std::thread::sleep(Duration::from_millis(100));
        }
        let status = caller.wait();
        if signals == [Signal::SIGKILL] {
            assert_eq!(status.signal(), Some(9));
            until("the tree to end", || survivors(&mark).is_empty());
        } else {
            assert_eq!(status.code(), Some(128 + signals[0] as i32), "{name}");
            assert_eq!(survivors(&mark), [""; 0], "{name}");
        }
    }
}

#[test]
fn an_ignored_sighup_stays_ignored() {
    let mut caller = Caller::start_with("> ready; while [ ! -e go ]; do sleep 0.05; done", |c| {
        c.env("BEFORE", "nohup");
    });
    caller.signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(caller.folder.path().join("go"), "").unwrap();
    assert_eq!(caller.wait().code(), Some(0));
}

#[test]
fn without_a_child_a_signal_does_what_it_always_does() {
    let mut caller = Caller::start_with("> ready", |c| {
        c.env("LINGER", "1");
    });
    caller.wait_for("lingering");
    caller.signal(Signal::SIGINT);
    assert_eq!(caller.wait().signal(), Some(2));
}

#[test]
fn a_caught_signal_is_told_and_a_second_one_ends_it() {
    for (more, code, signal) in [("END", Some(130), None), ("LINGER", None, Some(2))] {
        let mut caller = Caller::start_with("> ready", |c| {
            c.env("CATCH", "1").env(more, "1");
        });
        caller.wait_for("catching");
        caller.signal(Signal::SIGINT);
        caller.wait_for("caught");
        if more == "LINGER" {
            caller.wait_for("lingering");
            caller.signal(Signal::SIGINT);
        }
        let status = caller.wait();
        assert_eq!((status.code(), status.signal()), (code, signal), "{more}");
    }
}

#[test]
fn ctrl_c_that_is_told_to_another_ends_nothing() {
    let mut caller = Caller::start_with(
        "> ready; while ! test -e told; do sleep 0.05; done; exit 3",
        |command| {
            command.env("INTERRUPTS", "1");
        },
    );
    caller.signal(Signal::SIGINT);
    assert_eq!(caller.wait().code(), Some(3));
    assert_eq!(caller.read("told"), "");
}

#[test]
fn ctrl_z_stops_the_child_too() {
    let mut caller = Caller::start(CHILD_AND_GRANDCHILD);
    let own = caller.process.id().to_string();
    let pids = [own, caller.read("leader"), caller.read("pid")];
    caller.signal(Signal::SIGTSTP);
    for pid in &pids {
        until("a stop", || state(pid) == Some('T'));
    }
    caller.signal(Signal::SIGCONT);
    for pid in &pids {
        until("it to go on", || state(pid) == Some('S'));
    }
    caller.signal(Signal::SIGTERM);
    assert_eq!(caller.wait().code(), Some(143));
}

#[test]
fn a_leader_that_is_asked_first_finishes_what_its_children_are_at() {
    // The child of the leader would die of the signal at once, were it sent one.
    let script = "trap 'wait; echo whole > got; exit 0' TERM; (sleep 1; echo done > child) & > ready; wait; wait";
    let mut caller = Caller::start_with(script, |command| {
        command.env("LEADER_FIRST", "1");
    });
    caller.signal(Signal::SIGTERM);
    assert_eq!(caller.wait().code(), Some(143));
    assert_eq!(caller.read("child").trim(), "done");
    assert_eq!(caller.read("got").trim(), "whole");
}

#[test]
fn the_child_is_asked_to_end_once_what_comes_before_is_done() {
    let script = "trap 'test -e prepared && echo yes > asked; exit 3' TERM; : > ready; while :; do sleep 0.01; done";
    let mut caller = Caller::start_with(script, |command| {
        command.env("PREPARE", "1");
    });
    let start = Instant::now();
    caller.signal(Signal::SIGTERM);
    caller.wait();
    assert_eq!(caller.read("asked"), "yes\n");
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_second_interrupt_waits_for_nothing() {
    let mut caller = Caller::start_with("trap '' INT TERM; : > ready; sleep 100", |command| {
        command.env("PREPARE", "1").env("LEADER_FIRST", "1");
    });
    caller.signal(Signal::SIGINT);
    caller.wait_for("prepared");
    let start = Instant::now();
    caller.signal(Signal::SIGINT);
    caller.wait();
    assert!(start.elapsed() < Duration::from_secs(20));
}
