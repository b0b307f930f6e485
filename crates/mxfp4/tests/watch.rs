//! `mxfp4 build --watch`: one round for each save, whatever way an editor saves in. The mojo and the python only pretend.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{folder, mxfp4};

const MOJO: &str = "#!/bin/sh\n\
    command=$1 source=$2\n\
    while [ $# -gt 1 ]; do [ \"$1\" = -o ] && output=$2; shift; done\n\
    case $command in\n\
    precompile) if grep -q broken \"$source/__init__.mojo\"; then echo 'not today' >&2; exit 1; fi; > \"$output\" ;;\n\
    run) exec sh \"$1\" ;;\n\
    esac\n";

struct Watch {
    root: tempfile::TempDir,
    process: Child,
    /// What it says on stderr.
    lines: Receiver<String>,
}

impl Watch {
    fn start(args: &[&str]) -> Self {
        let modular = "sdk/lib/python3.11/site-packages/modular";
        let mojo = format!("{modular}/bin/mojo");
        let root = folder([
            (
                "mxfp4.toml",
                "[sdk]\npath = \"sdk\"\n[tests]\npython = []\n",
            ),
            ("kernels/mxfp4/__init__.mojo", "one"),
            ("kernels/test/test_a.mojo", "echo PASS one"),
            ("sdk/pyvenv.cfg", "version_info = 3.11.7\n"),
            ("sdk/bin/python", ""),
            (&mojo, MOJO),
            (&format!("{modular}/lib/mojo/std.mojoc"), ""),
        ]);
        fs::set_permissions(root.path().join(&mojo), fs::Permissions::from_mode(0o755)).unwrap();
        let mut process = mxfp4(root.path())
            .env("CUDA_VISIBLE_DEVICES", "")
            .args(["build", "--watch"])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            root,
            process,
            lines,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// What the next round says, up to the line that it is over.
    fn round(&self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(120));
            let line = line.unwrap_or_else(|_| panic!("no round ended after {lines:?}"));
            let over = line.contains("] watching ");
            lines.push(line);
            if over {
                return lines;
            }
        }
    }

    fn expect(&self, parts: &[&str]) {
        let round = self.round().join("\n");
        for part in parts {
            assert!(round.contains(part), "{part} is not in {round}");
        }
    }

    /// Saves as an editor does, after which the next round must have all `parts`.
    fn save(&self, parts: &[&str], save: impl FnOnce()) {
        let begin = Instant::now();
        save();
        // On a busy machine one save may take as long as two: then there may be a round in the middle of it.
        if begin.elapsed() < Duration::from_millis(100) {
            return self.expect(parts);
        }
        loop {
            let round = self.round().join("\n");
            if parts.iter().all(|part| round.contains(part)) {
                return;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn each_save_is_one_round() {
    let mut watch = Watch::start(&[]);
    watch.expect(&[
        "compiling mxfp4",
        "] ok: built, 1 passed, 0 failed, 0 skipped in ",
    ]);
    let source = watch.path("kernels/mxfp4/__init__.mojo");

    // vim: a test whether it may write, the old file moved aside, a new one.
    watch.save(&["compiling mxfp4", "] ok: built"], || {
        fs::write(watch.path("kernels/mxfp4/4913"), "").unwrap();
        fs::remove_file(watch.path("kernels/mxfp4/4913")).unwrap();
        fs::rename(&source, watch.path("kernels/mxfp4/__init__.mojo~")).unwrap();
        fs::write(&source, "two").unwrap();
        fs::remove_file(watch.path("kernels/mxfp4/__init__.mojo~")).unwrap();
    });

    // Others: a new file renamed over the old one.
    let new = watch.path("kernels/mxfp4/.__init__.mojo.tmp");
    fs::write(&new, "three, and broken").unwrap();
    fs::rename(&new, &source).unwrap();
    watch.expect(&[
        "not today",
        "error: mxfp4 could not be compiled",
        "] FAILED: build failed in ",
    ]);

    // The plain way, in two steps; a failed build does not end it.
    watch.save(&["compiling mxfp4", "] ok: built"], || {
        let mut file = fs::File::create(&source).unwrap();
        file.write_all(b"fo").unwrap();
        file.write_all(b"ur").unwrap();
    });

    // A test, which is not built.
    fs::write(watch.path("kernels/test/test_a.mojo"), "echo FAIL one: bad").unwrap();
    watch.expect(&["] FAILED: built, 0 passed, 1 failed, 0 skipped in "]);

    // The configuration, wrong and then right again; a new file counts as well.
    fs::write(watch.path("mxfp4.toml"), "[sdk]\nwrong = 1\n").unwrap();
    let line = watch.lines.recv_timeout(Duration::from_secs(120)).unwrap();
    assert!(line.contains("unknown field `wrong`"), "{line}");
    fs::write(watch.path("kernels/test/test_b.mojo"), "echo PASS two").unwrap();
    let config =
        "[sdk]\npath = \"sdk\"\n[tests]\npython = []\nmojo = [\"kernels/test/test_b.mojo\"]\n";
    fs::write(watch.path("mxfp4.toml"), config).unwrap();
    watch.expect(&["] ok: built, 1 passed, 0 failed, 0 skipped in "]);

    // None of these is a change, so that the next round is that of the next save.
    fs::write(watch.path("kernels/test/test_b.mojo"), "echo PASS two").unwrap();
    fs::write(watch.path("kernels/mxfp4/notes.txt"), "x").unwrap();
    std::thread::sleep(Duration::from_millis(600));
    fs::write(
        watch.path("kernels/test/test_b.mojo"),
        "echo PASS two; echo PASS three",
    )
    .unwrap();
    watch.expect(&["] ok: built, 2 passed, "]);

    kill(
        Pid::from_raw(watch.process.id().cast_signed()),
        Signal::SIGINT,
    )
    .unwrap();
    let status = watch.process.wait().unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert!(
        status.code() == Some(130) || status.signal() == Some(2),
        "{status}"
    );
}

#[test]
fn without_tests_it_only_builds() {
    let watch = Watch::start(&["--no-test"]);
    let round = watch.round().join("\n");
    assert!(round.contains("] ok: built in "), "{round}");
}

#[test]
fn only_some_of_the_tests() {
    let watch = Watch::start(&["--filter", "test_a"]);
    watch.expect(&["] ok: built, 1 passed, 0 failed, 0 skipped in "]);
    let root = watch.root.path();
    for args in [
        &["build", "--no-test"][..],
        &["build", "--filter", "x"],
        &["build", "--retries", "2"],
    ] {
        let status = mxfp4(root)
            .args(args)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}
