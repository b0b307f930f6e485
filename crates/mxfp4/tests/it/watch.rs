//! `mxfp4 build --watch`: one round for each save, whatever way an editor saves in. The mojo and the python only pretend.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::support::stub::Stub;
use crate::support::{failing, folder, mxfp4, run, trial};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The tests.
pub fn trials() -> Vec<Trial> {
    trial::all(
        module_path!(),
        [
            ("each_save_is_one_round", each_save_is_one_round as fn()),
            ("without_tests_it_only_builds", without_tests_it_only_builds),
            ("only_some_of_the_tests", only_some_of_the_tests),
            (
                "folders_come_and_go_and_links_lead_elsewhere",
                folders_come_and_go_and_links_lead_elsewhere,
            ),
            ("branches_are_changed", branches_are_changed),
            (
                "what_the_kernel_does_not_tell_is_seen_all_the_same",
                what_the_kernel_does_not_tell_is_seen_all_the_same,
            ),
        ],
    )
}

struct Watch {
    stub: Stub,
    process: Child,
    /// What it says on stderr.
    lines: Receiver<String>,
}

impl Watch {
    fn start(args: &[&str]) -> Self {
        Self::of(Stub::new("[tests]\npython = []\n", &[]), args, &[])
    }

    /// In this workspace, with these variables.
    fn of(stub: Stub, args: &[&str], variables: &[(&str, &Path)]) -> Self {
        let mut process = stub
            .mxfp4(&["build", "--watch"])
            .args(args)
            .envs(variables.iter().copied())
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
            stub,
            process,
            lines,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.stub.path(name)
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

fn without_tests_it_only_builds() {
    let watch = Watch::start(&["--no-test"]);
    let round = watch.round().join("\n");
    assert!(round.contains("] ok: built in "), "{round}");
}

fn only_some_of_the_tests() {
    let watch = Watch::start(&["--filter", "test_a"]);
    watch.expect(&["] ok: built, 1 passed, 0 failed, 0 skipped in "]);
    let root = watch.stub.root();
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

fn folders_come_and_go_and_links_lead_elsewhere() {
    let elsewhere = folder([
        ("sub/__init__.mojo", "one"),
        ("shared.mojo", "one"),
        ("lib/dep.mojo", "one"),
    ]);
    let there = |name: &str| elsewhere.path().join(name);
    let stub = Stub::new("[tests]\npython = []\n", &[]);
    let import_path = there("lib");
    let watch = Watch::of(
        stub,
        &["--no-test"],
        &[("MODULAR_MOJO_MAX_IMPORT_PATH", &import_path)],
    );
    watch.round();
    let sub = watch.path("kernels/mxfp4/sub");
    let rename = |from: &Path, to: &Path| fs::rename(from, to).unwrap();
    let append = |path: &Path| {
        let mut text = fs::read_to_string(path).unwrap();
        text.push('x');
        fs::write(path, text).unwrap();
    };
    let built = |change: &dyn Fn()| watch.save(&["compiling mxfp4", "] ok: built"], change);
    built(&|| rename(&there("sub"), &sub));
    built(&|| append(&sub.join("__init__.mojo")));
    built(&|| rename(&sub, &watch.path("kernels/mxfp4/sub2")));
    built(&|| append(&watch.path("kernels/mxfp4/sub2/__init__.mojo")));
    built(&|| rename(&watch.path("kernels/mxfp4/sub2"), &there("sub")));
    built(&|| {
        symlink(
            there("shared.mojo"),
            watch.path("kernels/mxfp4/linked.mojo"),
        )
        .unwrap()
    });
    built(&|| append(&there("shared.mojo")));
    built(&|| symlink(there("sub"), &sub).unwrap());
    built(&|| append(&there("sub/__init__.mojo")));
    built(&|| append(&there("lib/dep.mojo")));

    // The folder of everything goes, and comes again: another one of the same name.
    watch.save(
        &["error: kernel package `mxfp4` is not there", "] FAILED"],
        || {
            rename(&watch.path("kernels"), &there("kernels"));
        },
    );
    let built = |change: &dyn Fn()| watch.save(&["] ok: built"], change);
    built(&|| rename(&there("kernels"), &watch.path("kernels")));
    built(&|| append(&watch.path("kernels/mxfp4/__init__.mojo")));
}

fn branches_are_changed() {
    for lacking in ["kernels/test", "kernels/mxfp4", "kernels"] {
        let stub = Stub::new(
            "[tests]\npython = []\n",
            &[(".gitignore", "sdk\nbuild\n.mxfp4\n")],
        );
        let root = stub.root().to_owned();
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            command
                .args(["-c", "user.name=a", "-c", "user.email=a@b"])
                .args(args);
            let ran = run(command.current_dir(&root).env("HOME", &root));
            assert_eq!(ran.code, Some(0), "{ran:?}");
        };
        git(&["init", "-q", "-b", "main"]);
        git(&["add", "-A"]);
        git(&["commit", "-qm", "one"]);
        git(&["checkout", "-q", "-b", "other"]);
        git(&["rm", "-rq", lacking]);
        git(&["commit", "-qm", "two"]);
        git(&["checkout", "-q", "main"]);
        let watch = Watch::of(stub, &[], &[]);
        watch.expect(&["] ok: built, 1 passed"]);
        watch.save(&["] FAILED: "], || git(&["checkout", "-q", "other"]));
        watch.save(&["] ok: built, 1 passed"], || {
            git(&["checkout", "-q", "main"])
        });
        let (edited, text) = match lacking {
            "kernels/test" => ("kernels/test/test_a.mojo", "echo PASS one; echo PASS two"),
            _ => ("kernels/mxfp4/__init__.mojo", "two"),
        };
        watch.save(&["] ok: built, "], || watch.stub.write(edited, text));
    }
}

fn what_the_kernel_does_not_tell_is_seen_all_the_same() {
    for (function, error, limit) in [
        (
            "inotify_add_watch",
            "ENOSPC",
            "fs.inotify.max_user_watches is used up, which is ",
        ),
        (
            "inotify_init1",
            "EMFILE",
            "fs.inotify.max_user_instances is used up, which is ",
        ),
    ] {
        let place = folder([("x", "")]);
        let library = failing(place.path(), function, error);
        let stub = Stub::new("[tests]\npython = []\n", &[]);
        let watch = Watch::of(stub, &["--no-test"], &[("LD_PRELOAD", &library)]);
        watch.expect(&[limit, "`sudo sysctl fs.inotify.max_user_", "] ok: built"]);
        watch.save(&["] ok: built"], || {
            watch.stub.write("kernels/mxfp4/a.mojo", "")
        });
        watch.save(&["] ok: built"], || {
            watch.stub.write("kernels/mxfp4/a.mojo", "1")
        });
    }
}
