//! `mxfp4 test` on tests that only pretend: what is run, what is counted, and what is said of a failure. The "Mojo"
//! programs are shell scripts, and so is the mojo that runs them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, TestWorkspace, run, trial};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The tests.
pub fn trials() -> Vec<Trial> {
    trial::all(
        module_path!(),
        [
            (
                "what_passes_and_what_is_skipped",
                what_passes_and_what_is_skipped as fn(),
            ),
            (
                "every_kind_of_failure_counts_once_and_can_be_run_again",
                every_kind_of_failure_counts_once_and_can_be_run_again,
            ),
            ("a_python_failure", a_python_failure),
            ("a_name_chooses", a_name_chooses),
            ("a_filter_chooses", a_filter_chooses),
            (
                "the_names_are_listed_without_a_run",
                the_names_are_listed_without_a_run,
            ),
            (
                "what_passes_when_tried_again_is_flaky",
                what_passes_when_tried_again_is_flaky,
            ),
            ("a_program_reads_json", a_program_reads_json),
            (
                "a_hanging_test_is_ended_with_its_children",
                a_hanging_test_is_ended_with_its_children,
            ),
            (
                "nothing_survives_the_end_of_a_run",
                nothing_survives_the_end_of_a_run,
            ),
            (
                "what_a_test_starts_in_a_session_of_its_own_ends_with_it",
                what_a_test_starts_in_a_session_of_its_own_ends_with_it,
            ),
            ("two_jobs_run_side_by_side", two_jobs_run_side_by_side),
            (
                "lines_of_different_tests_do_not_mix",
                lines_of_different_tests_do_not_mix,
            ),
            ("one_job_keeps_the_order", one_job_keeps_the_order),
            (
                "nothing_survives_the_end_of_several_jobs",
                nothing_survives_the_end_of_several_jobs,
            ),
            (
                "a_failure_says_how_to_debug_it",
                a_failure_says_how_to_debug_it,
            ),
            (
                "ctrl_c_ends_the_run_with_what_is_known",
                ctrl_c_ends_the_run_with_what_is_known,
            ),
            (
                "a_reader_that_goes_away_is_no_failure",
                a_reader_that_goes_away_is_no_failure,
            ),
        ],
    )
}

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
[ -f events ] && cat events >> "$MXFP4_PYTEST_EVENTS"
exit "${PYTEST:-0}"
"#;

/// What the plugin tells of a test that passes and of one that is skipped.
const EVENTS: &str = r#"{"event":"start","id":"tests/test_ops.py::test_dense"}
{"event":"end","id":"tests/test_ops.py::test_dense","outcome":"passed","reason":"","output":"","seconds":0.1}
{"event":"end","id":"tests/test_ops.py::test_gpu[1]","outcome":"skipped","reason":"skipped: needs a Hopper GPU (sm_90)","output":"","seconds":0}
"#;

struct Place(TestWorkspace);

impl Deref for Place {
    type Target = TestWorkspace;

    fn deref(&self) -> &TestWorkspace {
        &self.0
    }
}

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
            ("events", EVENTS),
        ];
        all.extend(files);
        let place = Self(TestWorkspace::new(all));
        for name in ["sdk/bin/python", &mojo] {
            place.make_executable(name);
        }
        place
    }

    fn mxfp4(&self, args: &[&str]) -> Command {
        let mut command = self.0.command();
        // No GPU, whatever this machine has.
        command
            .env("CUDA_VISIBLE_DEVICES", "")
            .env("LOG", self.path("log"))
            .arg("test")
            .args(args);
        // In order, however many cores this machine has.
        if !args.iter().any(|arg| arg.starts_with("--jobs")) {
            command.arg("--jobs=1");
        }
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

/// Starts a command in a process group of its own; what is returned beside it tells `survivors` what it has started.
fn tree(command: &mut Command, name: &str) -> (Child, String) {
    let mark = format!("{}-{name}", std::process::id());
    let child = command
        .env("MXFP4_GRACE", "1s")
        .env("TREE", &mark)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    (child, format!("TREE={mark}"))
}

fn last_lines(ran: &Ran, count: usize) -> Vec<&str> {
    let mut lines: Vec<_> = ran.stdout.lines().rev().take(count).collect();
    lines.reverse();
    lines
}

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
        commands[4].starts_with("python -m pytest python/tests -p mxfp4_pytest_plugin "),
        "{commands:?}"
    );
    assert!(
        ran.stdout.contains("     2  needs a Hopper GPU (sm_90)\n"),
        "{ran:?}"
    );
    for case in ["compile_d", "test_gpu_c"] {
        let line = format!("s] mojo: compiles for sm_90a: kernels/test/{case}.mojo\n");
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

fn a_python_failure() {
    let failed = r#"{"event":"end","id":"t.py::test_x[a b]","outcome":"failed","reason":"1 != 2","output":"E  1 != 2\u001b[2J","seconds":1}"#;
    let place = Place::new(&[("events", &format!("{failed}\n"))]);
    let ran = run(place.mxfp4(&[]).env("PYTEST", "1"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for part in [
        " FAIL [   1.00s] python: t.py::test_x[a b]: 1 != 2\n    E  1 != 2\u{241b}[2J\n",
        "  python: t.py::test_x[a b]\n      1 != 2\n",
        " test 't.py::test_x[a b]'\n",
        "    directly: python -m pytest python/tests -k test_x\n",
        "\npython: 0 passed, 1 failed, 0 skipped\n",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }
    // pytest itself failed.
    for code in ["3", "2", "5"] {
        let place = Place::new(&[("events", "")]);
        let ran = run(place.mxfp4(&[]).env("PYTEST", code));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stdout
                .contains("\npython: 0 passed, 1 failed, 0 skipped\n"),
            "{ran:?}"
        );
    }
}

fn a_name_chooses() {
    let files = [
        (
            "kernels/test/test_format.mojo",
            "echo PASS 'codes'; echo PASS 'scales'",
        ),
        (
            "kernels/test/test_layout.mojo",
            "echo PASS 'codes'; echo PASS 'rows'",
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
        fs::write(place.path("events"), "").unwrap();
        let ran = run(place.mxfp4(&[name]).env("PYTEST", "5"));
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        let commands = place.commands();
        let is_python = |command: &&String| command.starts_with("python");
        let (python, mojo): (Vec<_>, Vec<_>) = commands.iter().partition(is_python);
        // Only where a Python test may have that name.
        assert_eq!(python.len(), usize::from(name == "codes"), "{python:?}");
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
    fs::write(place.path("events"), "").unwrap();
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

fn a_filter_chooses() {
    let files = [
        (
            "kernels/test/test_format.mojo",
            "echo PASS \"all codes\"; echo PASS \"scales\"",
        ),
        ("kernels/test/test_layout.mojo", "echo PASS \"rows\""),
        ("kernels/test/test_gpu_a.mojo", "echo PASS \"on the GPU\""),
        ("kernels/test/compile_ops.mojo", ""),
    ];
    for (args, programs, passed) in [
        (&["scales"][..], &["test_format"][..], 1),
        (&["/^all codes$/"], &["test_format"], 1),
        (
            &["/^test_(layout|gpu_a)$/"],
            &["test_gpu_a", "test_layout"],
            3,
        ),
        (&["--gpu"], &["test_gpu_a"], 2),
        (
            &["--no-gpu"],
            &["compile_ops", "test_format", "test_layout"],
            4,
        ),
    ] {
        let place = Place::new(&files);
        fs::write(place.path("events"), "").unwrap();
        let ran = run(place.mxfp4(args).env("PYTEST", "5"));
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        let mut ran_programs: Vec<_> = place
            .commands()
            .iter()
            .filter(|command| command.starts_with("mojo "))
            .map(|command| {
                let file = command.rsplit('/').next().unwrap();
                file.trim_end_matches(".mojo").to_owned()
            })
            .collect();
        ran_programs.sort();
        assert_eq!(ran_programs, programs, "{args:?}");
        let plain = format!("{passed} passed, 0 failed, 0 skipped");
        assert_eq!(last_lines(&ran, 1), [plain], "{args:?}");
    }
    let place = Place::new(&files);
    for (args, code) in [
        (&["/(/"][..], 2),
        (&["x", "name"], 2),
        (&["--filter", "x"], 2),
        (&["--gpu", "--no-gpu"], 2),
        (&["--timeout", "soon"], 2),
    ] {
        assert_eq!(place.test(args).code, Some(code), "{args:?}");
    }
}

fn the_names_are_listed_without_a_run() {
    let events = r#"{"event":"collected","id":"tests/test_ops.py::test_gpu[1]","gpu":true}"#;
    let place = Place::new(&[
        ("kernels/test/test_a.mojo", "exit 1"),
        ("kernels/test/test_gpu_b.mojo", "exit 1"),
        ("kernels/test/compile_c.mojo", ""),
        ("events", &format!("{events}\n")),
    ]);
    let ran = place.test(&["--list"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let listed =
        "mojo: compile_c\nmojo: test_a\nmojo: test_gpu_b\npython: tests/test_ops.py::test_gpu[1]\n";
    assert_eq!(ran.stdout, listed);
    let [command] = &place.commands()[..] else {
        panic!("{:?}", place.commands());
    };
    assert!(command.contains(" --collect-only "), "{command}");
    let ran = place.test(&["--list", "--gpu", "--message-format=json"]);
    let first = r#"{"reason":"test","language":"mojo","name":"test_gpu_b","gpu":true}"#;
    assert_eq!(ran.stdout.lines().next(), Some(first), "{ran:?}");
}

/// Fails at the first run and passes at the second.
const FLAKY: &str = "echo PASS one; echo words; if [ -e tried ]; then echo PASS two; else > tried; \
                     echo FAIL two: 1 is not 2; exit 1; fi";

fn what_passes_when_tried_again_is_flaky() {
    for (retries, code, counts) in [
        ("0", 1, "1 passed, 1 failed, 0 skipped"),
        ("2", 0, "2 passed, 0 failed, 0 skipped"),
    ] {
        let place = Place::new(&[("kernels/test/test_a.mojo", FLAKY), ("events", "")]);
        let mut command = place.mxfp4(&["--retries", retries, "--junit", "out.xml", "test_a"]);
        let ran = run(&mut command);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert_eq!(last_lines(&ran, 1), [counts], "{ran:?}");
        let xml = fs::read_to_string(place.path("out.xml")).unwrap();
        let xml = roxmltree::Document::parse(&xml).unwrap();
        let has = |tag: &str| xml.descendants().any(|node| node.has_tag_name(tag));
        assert_eq!(
            (has("failure"), has("flakyFailure")),
            (code == 1, code == 0)
        );
        if code == 0 {
            assert!(ran.stdout.contains("RETRY ["), "{ran:?}");
            let flaky = "\nflaky:\n  mojo: test_a: two (passed on try 2)\n      1 is not 2\n";
            assert!(ran.stdout.contains(flaky), "{ran:?}");
        } else {
            // What was printed on the way to the failure, and nothing else.
            assert!(
                ran.stdout.contains("two: 1 is not 2\n    words\n"),
                "{ran:?}"
            );
        }
    }
    // It never passes, and once it does not even come that far.
    let script =
        "echo PASS one; [ -e tried ] && kill -SEGV $$; > tried; echo FAIL two: never; exit 1";
    let place = Place::new(&[("kernels/test/test_a.mojo", script), ("events", "")]);
    let ran = place.test(&["--retries", "1", "test_a"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        last_lines(&ran, 1),
        ["1 passed, 2 failed, 0 skipped"],
        "{ran:?}"
    );
}

fn a_program_reads_json() {
    let place = Place::new(&[
        (
            "kernels/test/test_a.mojo",
            "echo PASS one; echo FAIL two: bad",
        ),
        ("kernels/test/test_gpu_c.mojo", "echo SKIP x: no GPU"),
    ]);
    let ran = place.test(&["--message-format", "json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let lines = ran.stdout.lines();
    let messages: Vec<serde_json::Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let outcome = |name: &str| {
        let mut messages = messages.iter();
        let case = messages.find(|message| message["name"] == name);
        case.map(|case| case["outcome"].as_str().unwrap())
    };
    assert_eq!(messages[0]["reason"], "compiler-artifact");
    assert_eq!(outcome("test_a: one"), Some("passed"));
    assert_eq!(outcome("test_a: two"), Some("failed"));
    assert_eq!(outcome("test_gpu_c: x"), Some("skipped"));
    assert_eq!(outcome("tests/test_ops.py::test_dense"), Some("passed"));
    let last = messages.last().unwrap();
    assert_eq!(last["reason"], "tests-finished");
    assert_eq!(
        (&last["passed"], &last["failed"], &last["skipped"]),
        (&3.into(), &1.into(), &2.into())
    );
}

fn a_hanging_test_is_ended_with_its_children() {
    // Neither the test nor what it started cares for SIGTERM.
    let hanging = "trap '' TERM; sh -c 'echo $$ > child; sleep 100; sleep 100' & echo PASS one; wait; sleep 100";
    let place = Place::new(&[
        ("kernels/test/test_a.mojo", hanging),
        ("kernels/test/test_b.mojo", "echo PASS two"),
        ("events", ""),
    ]);
    let mut command = place.mxfp4(&["--timeout", "5s", "/test_[ab]/"]);
    let ran = run(command.env("MXFP4_GRACE", "200ms").env("PYTEST", "5"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout
            .contains("\n  mojo: test_a\n      timed out after 5 s"),
        "{ran:?}"
    );
    assert_eq!(
        last_lines(&ran, 1),
        ["2 passed, 1 failed, 0 skipped"],
        "{ran:?}"
    );
    let child = fs::read_to_string(place.path("child")).unwrap();
    assert!(!PathBuf::from("/proc").join(child.trim()).exists());

    let ran = run(place.mxfp4(&[]).env("MXFP4_GRACE", "soon"));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.stderr.contains("MXFP4_GRACE: `soon` is no time span"),
        "{ran:?}"
    );
}

/// The processes that have this variable in their environment: all that was started, helpers too.
fn survivors(variable: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("environ")).ok())
        .filter(|environment| {
            let mut variables = environment.split(|&byte| byte == 0);
            variables.any(|other| other == variable.as_bytes())
        })
        .count()
}

fn nothing_survives_the_end_of_a_run() {
    // A test with a grandchild, none of which cares for a signal that can be ignored.
    let deaf = "trap '' INT TERM HUP; sh -c 'sh -c \"sleep 100; sleep 100\" & echo PASS one; wait; sleep 100' & wait; sleep 100";
    for (name, signals) in [
        ("once", &[Signal::SIGINT][..]),
        ("twice", &[Signal::SIGINT, Signal::SIGINT]),
        ("term", &[Signal::SIGTERM]),
        ("hangup", &[Signal::SIGHUP]),
        ("kill", &[Signal::SIGKILL]),
    ] {
        let place = Place::new(&[("kernels/test/test_a.mojo", deaf)]);
        let (mut child, mark) = tree(&mut place.mxfp4(&[]), name);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("test_a: one")));
        assert!(survivors(&mark) >= 4, "{name}: the tree stands");
        for signal in signals {
            kill(Pid::from_raw(child.id().cast_signed()), *signal).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(lines);
        child.wait().unwrap();
        if signals == [Signal::SIGKILL] {
            // Its guard has the time that the tree is given.
            let end = Instant::now() + Duration::from_secs(60);
            while survivors(&mark) > 0 && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        assert_eq!(survivors(&mark), 0, "{name}");
    }
}

fn what_a_test_starts_in_a_session_of_its_own_ends_with_it() {
    let session = "setsid sleep 100 & setsid sh -c '(sleep 100 &) ; trap \"\" TERM; sleep 100; sleep 100' & sleep 0.3; ";
    let files = [
        ("a", "echo PASS a"),
        ("b", "echo FAIL b: bad; exit 1"),
        ("c", "echo PASS c; sleep 100"),
        // It starts no session, and finds nothing of the others.
        ("d", "sleep 0.2; echo PASS d"),
    ]
    .map(|(name, end)| {
        let start = if name == "d" { "" } else { session };
        (
            format!("kernels/test/test_{name}.mojo"),
            format!("{start}{end}"),
        )
    });
    let mut files: Vec<_> = files
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    files.push(("events", ""));
    for jobs in ["--jobs=1", "--jobs=3"] {
        let place = Place::new(&files);
        let mut command = place.mxfp4(&[jobs, "--timeout=2s", "/test_[a-d]/"]);
        command.env("PYTEST", "5");
        let (child, mark) = tree(&mut command, jobs);
        let output = child.wait_with_output().unwrap();
        assert_eq!(survivors(&mark), 0, "{jobs}");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            stdout.lines().last(),
            Some("3 passed, 2 failed, 0 skipped"),
            "{stdout}"
        );
    }
}

/// Says that it has come, and waits for another test to say so.
fn meets(own: &str, other: &str) -> String {
    format!("> {own}; until [ -e {other} ]; do sleep 0.02; done; ")
}

fn two_jobs_run_side_by_side() {
    // Each waits for the other, and the Python part for both.
    let python = PYTHON.replacen(
        "\n[ -f",
        "\nuntil [ -e a ] && [ -e b ]; do sleep 0.02; done\n[ -f",
        1,
    );
    let (a, b) = (meets("a", "b"), meets("b", "a"));
    let place = Place::new(&[
        ("kernels/test/test_a.mojo", &format!("{a} echo PASS one")),
        (
            "kernels/test/test_b.mojo",
            &format!("{b} echo FAIL two: bad; exit 1"),
        ),
        ("sdk/bin/python", &python),
    ]);
    let ran = place.test(&["--jobs=3", "--junit", "out.xml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    // Each language is counted, and there is one summary.
    let [mojo, python, all, plain] = last_lines(&ran, 4)[..] else {
        panic!("{ran:?}");
    };
    assert_eq!(mojo, "mojo: 1 passed, 1 failed, 0 skipped");
    assert_eq!(python, "python: 1 passed, 0 failed, 1 skipped");
    assert!(all.starts_with("mxfp4 test: 2 passed, 1 failed, 1 skipped in "));
    assert_eq!(plain, "2 passed, 1 failed, 1 skipped");
    assert_eq!(ran.stdout.matches("\nmxfp4 test: ").count(), 1, "{ran:?}");
    assert!(ran.stdout.contains(" test test_b\n"), "{ran:?}");
    let xml = fs::read_to_string(place.path("out.xml")).unwrap();
    let xml = roxmltree::Document::parse(&xml).unwrap();
    let cases = xml
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    assert_eq!(cases.count(), 4);
}

fn lines_of_different_tests_do_not_mix() {
    // Both have printed half of their words before either prints the rest.
    let script = |own: &str, other: &str| {
        let (meets, word) = (meets(own, other), format!("word of {own}"));
        format!(
            "for i in 1 2 3 4 5; do echo {word}; done; {meets} \
             for i in 6 7 8 9; do echo {word}; done; echo FAIL {own}: bad; exit 1"
        )
    };
    let place = Place::new(&[
        ("kernels/test/test_a.mojo", &script("a", "b")),
        ("kernels/test/test_b.mojo", &script("b", "a")),
        ("events", ""),
    ]);
    for (args, indent) in [(&["--jobs=2"][..], "    "), (&["--jobs=2", "-v"], "")] {
        for file in ["a", "b"] {
            let _ = fs::remove_file(place.path(file));
        }
        let ran = run(place.mxfp4(args).env("PYTEST", "5"));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        for own in ["a", "b"] {
            let words = format!("{indent}word of {own}\n").repeat(9);
            assert!(ran.stdout.contains(&words), "{own} {args:?}: {ran:?}");
        }
    }
}

fn one_job_keeps_the_order() {
    let script = |name: &str| format!("echo {name} >> order; echo PASS {name}");
    let place = Place::new(&[
        ("kernels/test/compile_z.mojo", ""),
        ("kernels/test/test_a.mojo", &script("a")),
        ("kernels/test/test_b.mojo", &script("b")),
        ("kernels/test/test_gpu_c.mojo", &script("c")),
        ("kernels/test/test_d.mojo", &script("d")),
    ]);
    let ran = place.test(&["--jobs=1"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let order = fs::read_to_string(place.path("order")).unwrap();
    assert_eq!(order, "a\nb\nd\nc\n");
    let commands = place.commands();
    assert!(commands[0].contains("compile_z"), "{commands:?}");
    assert!(commands[5].starts_with("python "), "{commands:?}");
    fs::remove_file(place.path("order")).unwrap();
    let ran = place.test(&["--jobs=0"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(!place.path("order").exists());
}

fn nothing_survives_the_end_of_several_jobs() {
    let deaf = |own: &str| {
        format!(
            "trap '' INT TERM HUP; sh -c 'sleep 100; sleep 100' & echo PASS {own}; wait; sleep 100"
        )
    };
    for (name, signal) in [
        ("several-int", Signal::SIGINT),
        ("several-term", Signal::SIGTERM),
        ("several-kill", Signal::SIGKILL),
    ] {
        let place = Place::new(&[
            ("kernels/test/test_a.mojo", &deaf("a")),
            ("kernels/test/test_b.mojo", &deaf("b")),
            ("kernels/test/test_c.mojo", &deaf("c")),
            ("kernels/test/test_d.mojo", "> begun; echo PASS d"),
            ("events", ""),
        ]);
        let mut command = place.mxfp4(&["--jobs=3", "/test_[a-d]/"]);
        let (mut child, mark) = tree(command.env("PYTEST", "5"), name);
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let passed = |line: &String| line.contains("PASS");
        assert_eq!(lines.by_ref().filter(passed).take(3).count(), 3);
        assert!(survivors(&mark) >= 7, "{name}: the trees stand");
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let rest: Vec<String> = lines.collect();
        let code = child.wait().unwrap().code();
        if signal == Signal::SIGKILL {
            let end = Instant::now() + Duration::from_secs(60);
            while survivors(&mark) > 0 && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(50));
            }
        } else {
            assert_eq!(code, Some(128 + signal as i32), "{rest:?}");
            assert_eq!(rest.last().unwrap(), "3 passed, 0 failed, 0 skipped");
        }
        assert_eq!(survivors(&mark), 0, "{name}");
        assert!(!place.path("begun").exists(), "{name}");
    }
}

fn a_failure_says_how_to_debug_it() {
    let launches = r#"{"configurations": [ // as VS Code has it
        {"type": "mojo-lldb", "name": "Debug MXFP4 Mojo tests", "mojoFile": "${workspaceFolder}/kernels/test/test_a.mojo"},
        {"type": "mojo-lldb", "name": "Debug the current file", "mojoFile": "${file}"}]}"#;
    let fails = "echo FAIL one: bad";
    let place = Place::new(&[
        ("kernels/test/test_a.mojo", fails),
        ("kernels/test/test_b.mojo", fails),
        (".vscode/launch.json", launches),
    ]);
    let ran = place.test(&[]);
    for debug in [
        "in VS Code, start \"Debug MXFP4 Mojo tests\"",
        "in VS Code, open kernels/test/test_b.mojo\n              and start \"Debug the current file\"",
    ] {
        assert!(
            ran.stdout.contains(&format!("    debug:    {debug}\n")),
            "{ran:?}"
        );
    }
}

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
    assert!(lines.any(|line| line.ends_with("mojo: test_b: two")));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(rest.last().unwrap(), "2 passed, 0 failed, 0 skipped");
    assert!(!rest.iter().any(|line| line.contains("three")), "{rest:?}");
}

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
