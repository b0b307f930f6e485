//! `mxfp4 test` on tests that only pretend: what is run, what is counted, and what is said of a failure. The "Mojo"
//! programs are shell scripts, and so is the mojo that runs them.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Ran, folder, mxfp4, run};

const MOJO: &str = r#"#!/bin/sh
echo "mojo $*" >> "$LOG"
command=$1
while [ $# -gt 1 ]; do
    if [ "$1" = -o ]; then output=$2; fi
    shift
done
case "$command" in
precompile) echo package > "$output" ;;
build) if grep -q broken "$1"; then echo "$1:1:1: error: broken" >&2; exit 1; fi ;;
run) exec sh "$1" ;;
esac
"#;

const PYTHON: &str = r#"#!/bin/sh
echo "python $*" >> "$LOG"
while [ $# -gt 0 ]; do
    if [ "$1" = --junit-xml ]; then [ -f junit.xml ] && cp junit.xml "$2"; fi
    shift
done
exit "${PYTEST:-0}"
"#;

const JUNIT: &str = r#"<testsuites><testsuite>
<testcase classname="tests.test_ops" name="test_dense"/>
<testcase classname="tests.test_ops" name="test_gpu[1]"><skipped message="skipped: needs a Hopper GPU (sm_90)"/></testcase>
</testsuite></testsuites>"#;

struct Place(tempfile::TempDir);

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let modular = "sdk/lib/python3.11/site-packages/modular";
        let mojo = format!("{modular}/bin/mojo");
        let std = format!("{modular}/lib/mojo/std.mojoc");
        let mut all = vec![
            ("mxfp4.toml", "[sdk]\npath = \"sdk\"\n"),
            ("kernels/mxfp4/__init__.mojo", ""),
            ("sdk/pyvenv.cfg", "version_info = 3.11.7\n"),
            ("sdk/bin/python", PYTHON),
            (&mojo, MOJO),
            (&std, ""),
            ("kernels/test/helper.mojo", "exit 1"),
            ("junit.xml", JUNIT),
        ];
        all.extend(files);
        let place = Self(folder(all));
        for name in ["sdk/bin/python", &mojo] {
            fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mxfp4(&self, args: &[&str]) -> Command {
        let mut command = mxfp4(self.0.path());
        // No GPU, whatever this machine has.
        command
            .env("CUDA_VISIBLE_DEVICES", "")
            .env("LOG", self.path("log"))
            .arg("test")
            .args(args);
        command
    }

    fn test(&self, args: &[&str]) -> Ran {
        run(&mut self.mxfp4(args))
    }

    /// The commands that were run, the build's aside.
    fn commands(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let commands = log
            .lines()
            .filter(|line| !line.starts_with("mojo precompile"));
        commands.map(str::to_owned).collect()
    }
}

fn last_lines(ran: &Ran, count: usize) -> Vec<&str> {
    let mut lines: Vec<_> = ran.stdout.lines().rev().take(count).collect();
    lines.reverse();
    lines
}

#[test]
fn what_passes_and_what_is_skipped() {
    let place = Place::new(&[
        (
            "kernels/test/test_b.mojo",
            "echo PASS two; echo words; echo PASS three: 3",
        ),
        ("kernels/test/test_a.mojo", "echo PASS one"),
        (
            "kernels/test/test_gpu_c.mojo",
            "echo 'SKIP big: skipped: needs a Hopper GPU (sm_90)'",
        ),
        ("kernels/test/compile_d.mojo", ""),
    ]);
    let ran = place.test(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let commands = place.commands();
    let includes = "-I kernels -I kernels/test kernels/test";
    assert!(
        commands[0].starts_with("mojo build --target-accelerator=sm_90a "),
        "{commands:?}"
    );
    assert!(
        commands[0].ends_with("/compile_d kernels/test/compile_d.mojo"),
        "{commands:?}"
    );
    assert_eq!(
        commands[1..4],
        [
            format!("mojo run {includes}/test_a.mojo"),
            format!("mojo run {includes}/test_b.mojo"),
            format!("mojo run --target-accelerator=sm_90a {includes}/test_gpu_c.mojo"),
        ]
    );
    assert!(
        commands[4].starts_with("python -m pytest python/tests --junit-xml "),
        "{commands:?}"
    );
    assert!(
        ran.stdout.contains("     2  needs a Hopper GPU (sm_90)\n"),
        "{ran:?}"
    );
    for case in ["compile_d", "test_gpu_c"] {
        let line = format!("PASS compiles for sm_90a: kernels/test/{case}.mojo\n");
        assert!(ran.stdout.contains(&line), "{ran:?}");
    }
    let [mojo, python, all, plain] = last_lines(&ran, 4)[..] else {
        panic!("{ran:?}");
    };
    assert_eq!(mojo, "mojo: 5 passed, 0 failed, 1 skipped");
    assert_eq!(python, "python: 1 passed, 0 failed, 1 skipped");
    assert!(
        all.starts_with("mxfp4 test: 6 passed, 0 failed, 2 skipped in "),
        "{all}"
    );
    assert_eq!(plain, "6 passed, 0 failed, 2 skipped");
}

#[test]
fn every_kind_of_failure_counts_once_and_can_be_run_again() {
    for (name, script, reason) in [
        (
            "test_fails",
            "echo PASS a; echo FAIL b: 1 is not 2; exit 1",
            "1 is not 2",
        ),
        (
            "test_fails_quietly",
            "echo FAIL b: 1 is not 2",
            "1 is not 2",
        ),
        (
            "test_dies",
            "echo PASS a; kill -SEGV $$",
            "ended by SIGSEGV",
        ),
        ("test_ends_badly", "echo PASS a; exit 3", "exit code 3"),
        (
            "test_says_nothing",
            "echo hello",
            "no PASS, FAIL or SKIP line",
        ),
        ("compile_x", "broken", "exit code 1"),
    ] {
        let file = format!("kernels/test/{name}.mojo");
        let place = Place::new(&[(&file, script)]);
        let ran = place.test(&[]);
        assert_eq!(ran.code, Some(1), "{name}: {ran:?}");
        let counts = last_lines(&ran, 4)[0];
        assert!(counts.contains(" 1 failed, "), "{name}: {counts}");
        let failures = ran.stdout.split("\nfailed:\n").nth(1).unwrap();
        assert!(failures.contains(reason), "{name}: {failures}");
        let again = format!(
            "    again:    {} test {name}\n",
            env!("CARGO_BIN_EXE_mxfp4")
        );
        assert!(failures.contains(&again), "{again} is not in {failures}");
        assert!(
            failures.contains(&format!(" {file}\n")),
            "{name}: {failures}"
        );
    }
}

#[test]
fn a_python_failure() {
    let failed =
        r#"<testcase classname="t" name="test_x[a b]"><failure message="1 != 2"/></testcase>"#;
    let place = Place::new(&[("junit.xml", &format!("<testsuites>{failed}</testsuites>"))]);
    let ran = run(place.mxfp4(&[]).env("PYTEST", "1"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for part in [
        "  python: t::test_x[a b]\n      1 != 2\n",
        " test test_x\n",
        "    directly: python -m pytest python/tests -k test_x\n",
        "\npython: 0 passed, 1 failed, 0 skipped\n",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }
    // pytest itself failed: no file, or one without a failure in it.
    for (junit, code) in [("", "3"), ("<testsuites/>", "2"), ("<testsuites/>", "5")] {
        let place = Place::new(&[("junit.xml", junit)]);
        if junit.is_empty() {
            fs::remove_file(place.path("junit.xml")).unwrap();
        }
        let ran = run(place.mxfp4(&[]).env("PYTEST", code));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stdout
                .contains("\npython: 0 passed, 1 failed, 0 skipped\n"),
            "{ran:?}"
        );
    }
}

#[test]
fn a_name_chooses() {
    let files = [
        (
            "kernels/test/test_format.mojo",
            "echo PASS codes; echo PASS scales",
        ),
        (
            "kernels/test/test_layout.mojo",
            "echo PASS codes; echo PASS rows",
        ),
        ("kernels/test/compile_ops.mojo", ""),
        ("python/tests/test_x.py", "def test_Codes(): ..."),
    ];
    for (name, programs, passed) in [
        ("format", &["test_format"][..], 2),
        ("codes", &["test_format", "test_layout"], 2),
        ("rows", &["test_layout"], 1),
        ("compile_ops", &["compile_ops"], 1),
    ] {
        let place = Place::new(&files);
        fs::write(place.path("junit.xml"), "<testsuites/>").unwrap();
        let ran = run(place.mxfp4(&[name]).env("PYTEST", "5"));
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        let commands = place.commands();
        let is_python = |command: &&String| command.starts_with("python");
        let (python, mojo): (Vec<_>, Vec<_>) = commands.iter().partition(is_python);
        // Only where a Python test may have that name.
        assert_eq!(python.len(), usize::from(name == "codes"), "{python:?}");
        assert!(
            python.iter().all(|command| command.contains(" -k codes ")),
            "{python:?}"
        );
        let stem = |command: &&String| {
            let file = command.rsplit('/').next().unwrap();
            file.trim_end_matches(".mojo").to_owned()
        };
        assert_eq!(
            mojo.iter().map(stem).collect::<Vec<_>>(),
            programs,
            "{name}"
        );
        let plain = format!("{passed} passed, 0 failed, 0 skipped");
        assert_eq!(last_lines(&ran, 1), [plain], "{name}");
    }
    let place = Place::new(&files);
    fs::write(place.path("junit.xml"), "<testsuites/>").unwrap();
    let ran = run(place.mxfp4(&["nothing"]).env("PYTEST", "5"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("no test has `nothing` in its name\n"),
        "{ran:?}"
    );
    for (name, meant) in [("fromat", "format"), ("test_codse", "test_Codes")] {
        let ran = run(place.mxfp4(&[name]).env("PYTEST", "5"));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let question = format!("`{name}` in its name; did you mean `{meant}`?\n");
        assert!(ran.stderr.contains(&question), "{ran:?}");
    }
}

#[test]
fn ctrl_c_ends_the_run_with_what_is_known() {
    let place = Place::new(&[
        ("kernels/test/test_a.mojo", "echo PASS one"),
        (
            "kernels/test/test_b.mojo",
            "trap 'kill $!; exit 1' INT; sleep 100 & echo PASS two; wait",
        ),
        ("kernels/test/test_c.mojo", "echo PASS three"),
    ]);
    let mut child = place
        .mxfp4(&[])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line == "PASS two"));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(rest.last().unwrap(), "2 passed, 0 failed, 0 skipped");
    assert!(!rest.contains(&"PASS three".to_owned()), "{rest:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new(&[("kernels/test/test_a.mojo", "seq 1 20000; echo PASS one")]);
    let mut child = place
        .mxfp4(&[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}
