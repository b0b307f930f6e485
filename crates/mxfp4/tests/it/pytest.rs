//! `mxfp4 test` with the SDK's real pytest: what the plugin chooses and tells, and what becomes of a test that hangs,
//! dies, or passes only when tried again. The mojo beside it only pretends.

use std::ffi::OsStr;
use std::fs;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::support::{Ran, TestWorkspace, quoted, run, sdk, trial};
use libtest_mimic::{Completion, Failed, Trial};

/// The tests.
pub fn trials() -> Vec<Trial> {
    let tests = [
        ("what_becomes_of_each_test", each_test as fn(&Place)),
        ("what_hangs_or_dies_is_one_failure", hangs_or_dies),
        ("what_is_tried_again", tried_again),
        ("what_is_chosen", chosen),
        ("what_runs_side_by_side", side_by_side),
        ("what_is_no_text_is_told_all_the_same", no_text),
        ("what_is_collected_and_not_run_has_failed", not_run),
        ("a_test_that_forks_counts_once", forks),
        ("options_of_others_leave_out_no_test", options),
        ("a_run_without_a_test_is_no_success", no_tests),
        ("what_was_asked_for_and_skipped_is_no_success", skipped),
    ];
    let trials = tests.map(|(name, test)| {
        trial::ignorable(
            module_path!(),
            name,
            move || -> Result<Completion, Failed> {
                match sdk() {
                    Err(why) => Ok(Completion::ignored_with(why)),
                    Ok(sdk) => {
                        test(&Place::new(&sdk));
                        Ok(Completion::Completed)
                    }
                }
            },
        )
    });
    trials.into()
}

/// A workspace in a folder of its own.
struct Place(TestWorkspace);

impl Deref for Place {
    type Target = TestWorkspace;

    fn deref(&self) -> &TestWorkspace {
        &self.0
    }
}

impl Place {
    fn new(sdk: &Path) -> Self {
        let python = format!(
            "#!/bin/sh\nexec {} \"$@\"\n",
            quoted(sdk.join("bin/python"))
        );
        let mojo = "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = -o ] && > \"$2\"; shift; done\n";
        let modular = "sdk/lib/python3.11/site-packages/modular";
        let files = [
            ("mxfp4.toml", "[sdk]\npath = \"sdk\"\n[tests]\nmojo = []\n"),
            ("kernels/mxfp4/__init__.mojo", ""),
            ("sdk/pyvenv.cfg", "version_info = 3.11.7\n"),
            ("sdk/bin/python", &python),
            (&format!("{modular}/bin/mojo"), mojo),
            (&format!("{modular}/lib/mojo/std.mojoc"), ""),
        ];
        let place = Self(TestWorkspace::named("ws", files));
        for name in ["sdk/bin/python", &format!("{modular}/bin/mojo")] {
            place.make_executable(name);
        }
        fs::create_dir_all(place.path("python/tests")).unwrap();
        place
    }

    /// Writes a file of tests.
    fn write(&self, name: &str, text: &str) {
        self.0.write(&format!("python/tests/{name}"), text);
    }

    fn mxfp4(&self, args: &[&str]) -> Command {
        let mut command = self.0.command();
        command
            .env("CUDA_VISIBLE_DEVICES", "")
            .env("MXFP4_GRACE", "500ms")
            .arg("test")
            .args(args);
        command
    }

    fn test(&self, args: &[&str]) -> Ran {
        run(&mut self.mxfp4(args))
    }
}

fn assert_last(ran: &Ran, counts: &str) {
    assert_eq!(ran.stdout.lines().last(), Some(counts), "{ran:?}");
}

fn each_test(place: &Place) {
    place.write(
        "test_a.py",
        "import pytest\n\
         @pytest.mark.parametrize('x', [1, 2])\n\
         def test_passes(x): pass\n\
         def test_fails():\n    print('a clue')\n    assert 1 == 2\n\
         def test_is_skipped(): pytest.skip('skipped: needs a Hopper GPU (sm_90)')\n\
         @pytest.mark.xfail(reason='not yet')\n\
         def test_is_expected_to_fail(): assert False\n\
         @pytest.fixture\n\
         def broken(): raise ValueError('no fixture')\n\
         def test_needs_it(broken): pass\n",
    );
    place.write("test_broken.py", "import nothing_of_that_name\n");
    let ran = place.test(&["--junit", "out.xml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_last(&ran, "2 passed, 3 failed, 2 skipped");
    for part in [
        "PASS [",
        "python/tests/test_a.py::test_passes[2]\n",
        "python/tests/test_a.py::test_fails: assert 1 == 2\n",
        "    a clue\n",
        "     1  needs a Hopper GPU (sm_90)\n",
        "     1  expected to fail: not yet\n",
        "      ValueError: no fixture\n",
        "  python: python/tests/test_broken.py\n",
        "nothing_of_that_name",
        " test python/tests/test_a.py::test_fails\n",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }
    let xml = fs::read_to_string(place.path("out.xml")).unwrap();
    let xml = roxmltree::Document::parse(&xml).unwrap();
    let cases = xml
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    assert_eq!(cases.count(), 7);
}

fn hangs_or_dies(place: &Place) {
    place.write(
        "test_a.py",
        "import os, signal, subprocess\n\
         def test_first(): pass\n\
         def test_hangs():\n    \
             signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    \
             child = subprocess.Popen(['sleep', '1000'])\n    \
             open('child', 'w').write(str(child.pid))\n    \
             child.wait()\n\
         def test_between(): pass\n\
         def test_dies(): os.kill(os.getpid(), signal.SIGSEGV)\n\
         def test_last(): pass\n",
    );
    let ran = place.test(&["--timeout", "5s"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_last(&ran, "3 passed, 2 failed, 0 skipped");
    for part in [
        "test_a.py::test_hangs\n      timed out after 5 s",
        "test_a.py::test_dies\n      pytest ended while it ran: ended by SIGSEGV\n",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }
    let child = fs::read_to_string(place.path("child")).unwrap();
    assert!(!Path::new("/proc").join(child.trim()).exists());
}

fn tried_again(place: &Place) {
    place.write(
        "test_a.py",
        "import os\n\
         def test_flaky():\n    \
             first = not os.path.exists('tried')\n    \
             open('tried', 'w')\n    \
             assert not first\n\
         def test_never(): assert False\n\
         def test_passes():\n    \
             open('runs', 'a').write('x')\n",
    );
    let ran = place.test(&["--retries", "1"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_last(&ran, "2 passed, 1 failed, 0 skipped");
    assert!(
        ran.stdout.contains("test_flaky (passed on try 2)\n"),
        "{ran:?}"
    );
    assert_eq!(fs::read_to_string(place.path("runs")).unwrap(), "x");
}

fn chosen(place: &Place) {
    place.write(
        "test_a.py",
        "import pytest\n\
         @pytest.fixture\n\
         def hopper(): pass\n\
         def test_one(): pass\n\
         @pytest.mark.parametrize('x', ['a b', 'c'])\n\
         def test_two(x): pass\n\
         def test_gpu(hopper): pass\n",
    );
    for (args, count) in [
        (&["test_a.py::test_two[a b]"][..], 1),
        (&["/test_(one|gpu)$/"], 2),
        (&["--gpu"], 1),
        (&["--no-gpu"], 3),
        (&["test_two"], 2),
    ] {
        let ran = place.test(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        assert_last(&ran, &format!("{count} passed, 0 failed, 0 skipped"));
    }
    let ran = place.test(&["--list", "two"]);
    assert_eq!(
        ran.stdout,
        "python: python/tests/test_a.py::test_two[a b]\npython: python/tests/test_a.py::test_two[c]\n"
    );
    let ran = place.test(&["/nothing/"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr
            .contains("no test has a name that /nothing/ matches"),
        "{ran:?}"
    );
}

/// Python that says that it has come, and waits for another test to say so.
fn meets(own: &str, other: &str) -> String {
    format!("    open('{own}', 'w')\n    while not os.path.exists('{other}'): time.sleep(0.02)\n")
}

fn side_by_side(place: &Place) {
    let imports = "import os, pytest, time\nhere = pytest.mark.job\n";
    // Two modules, and two tests of a third, each of which waits for another.
    for (name, own, other) in [("test_a.py", "a", "b"), ("test_b.py", "b", "a")] {
        let test = format!("{imports}def test_x():\n{}", meets(own, other));
        place.write(name, &test);
    }
    place.write(
        "test_c.py",
        &format!(
            "{imports}pytestmark = here(apart=True, first=True)\n\
             def test_one():\n{}def test_two():\n{}    assert 1 == 2\n",
            meets("one", "two"),
            meets("two", "one")
        ),
    );
    // One module more than jobs: it shares a process.
    place.write("test_d.py", "def test_plain(): pass\n");
    let ran = place.test(&["--jobs=2", "--retries=1"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_last(&ran, "4 passed, 1 failed, 0 skipped");
    for part in [
        "  python: python/tests/test_c.py::test_two\n      assert 1 == 2\n",
        " test python/tests/test_c.py::test_two\n",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }

    // What hangs or dies takes nobody along.
    place.write(
        "test_a.py",
        "import os, signal\ndef test_dies(): os.kill(os.getpid(), signal.SIGSEGV)\ndef test_after(): pass\n",
    );
    place.write("test_broken.py", "import nothing_of_that_name\n");
    let ran = place.test(&["--jobs=3", "/test_(a|d)/"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    // The module that cannot be read counts too.
    assert_last(&ran, "2 passed, 2 failed, 0 skipped");

    place.write(
        "test_a.py",
        &format!("{imports}@here(sooner=True)\ndef test_x(): pass\n"),
    );
    let ran = place.test(&["--jobs=2"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said = "the marker `job` takes first and apart, and not sooner";
    assert!(ran.stdout.contains(said), "{ran:?}");
}

fn no_text(place: &Place) {
    // As os.fsdecode makes of a file name that is not UTF-8; the second file has such a name.
    place.write(
        "test_a.py",
        "import pytest\n\
         NAME = 'caf\\udce9'\n\
         def test_is_skipped(): pytest.skip('no ' + NAME)\n\
         def test_passes(): pass\n",
    );
    let name = OsStr::from_bytes(b"test_caf\xe9.py");
    let text = "def test_fails():\n    print('\\ud800')\n    raise ValueError('caf\\udce9')\n";
    fs::write(place.path("python/tests").join(name), text).unwrap();
    let id = r"python/tests/test_caf\udce9.py::test_fails";
    for jobs in ["--jobs=1", "--jobs=2"] {
        let ran = place.test(&[jobs, "--retries=1"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_last(&ran, "1 passed, 1 failed, 1 skipped");
        for part in [
            "\n     1  no caf\\udce9\n",
            &format!("\n  python: {id}\n      ValueError: caf\\udce9\n"),
            &format!(" test '{id}'\n"),
        ] {
            assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
        }
    }
    let ran = place.test(&[id]);
    assert_last(&ran, "0 passed, 1 failed, 0 skipped");
}

fn not_run(place: &Place) {
    place.write(
        "conftest.py",
        "def pytest_runtest_logreport(report):\n    \
             if report.when == 'call' and report.nodeid.endswith('test_b'):\n        \
                 stop.shouldstop = 'enough'\n\
         def pytest_sessionstart(session):\n    global stop\n    stop = session\n",
    );
    place.write(
        "test_a.py",
        "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n",
    );
    for jobs in ["--jobs=1", "--jobs=2"] {
        let ran = place.test(&[jobs]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let reason =
            "\n  python: python/tests/test_a.py::test_c\n      it was collected and not run: ";
        assert!(ran.stdout.contains(reason), "{ran:?}");
        let counts = ran.stdout.lines().last().unwrap();
        assert!(counts.starts_with("2 passed, "), "{ran:?}");
    }
}

fn forks(place: &Place) {
    place.write(
        "test_a.py",
        "import os, pytest\n\
         @pytest.fixture\n\
         def thing():\n    yield\n    open('cleared', 'a').write('x')\n\
         def test_child_returns(thing):\n    \
             if os.fork() == 0: return\n    \
             assert os.waitstatus_to_exitcode(os.wait()[1]) == 0\n\
         def test_child_fails():\n    \
             assert os.fork() != 0\n    \
             assert os.waitstatus_to_exitcode(os.wait()[1]) == 1\n\
         def test_child_exits():\n    \
             if os.fork() == 0: raise SystemExit(7)\n    \
             assert os.waitstatus_to_exitcode(os.wait()[1]) == 7\n\
         def test_after(): open('runs', 'a').write('x')\n",
    );
    let ran = place.test(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_last(&ran, "4 passed, 0 failed, 0 skipped");
    for file in ["runs", "cleared"] {
        assert_eq!(fs::read_to_string(place.path(file)).unwrap(), "x", "{file}");
    }
}

/// Stands in for pytest-xdist, which the SDK does not have: with its option, other processes would run the tests.
const XDIST: &str = "def pytest_addoption(parser):\n    \
                         parser.getgroup('x')._addoption('-n', dest='numprocesses', type=int)\n\
                     def pytest_runtestloop(session):\n    \
                         if session.config.option.numprocesses: return True\n";

fn options(place: &Place) {
    place.write("conftest.py", XDIST);
    place.write(
        "test_a.py",
        "def test_a(): assert 0\ndef test_b(): assert 0\ndef test_c(): pass\n",
    );
    let above = place.path("../pytest.ini");
    let above_name = above.canonicalize().unwrap_or_default();
    assert_eq!(above_name, Path::new(""));
    let all = "1 passed, 2 failed, 0 skipped";
    let left_out = |flags: &str, from: &str| {
        format!(
            "warning: pytest's options {flags} of {from} are left out: every test is run here, each once, unless \
             `mxfp4 test` is told otherwise\n"
        )
    };
    let chosen = "warning: pytest's options -k of PYTEST_ADDOPTS choose tests too\n".to_owned();
    let env = "PYTEST_ADDOPTS";
    for (addopts, counts, said, jobs) in [
        ("", all, String::new(), 1),
        ("-x", all, left_out("-x/--maxfail", env), 2),
        ("--co -n 2", all, left_out("--collect-only, -n", env), 1),
        ("--version", all, left_out("--version", env), 1),
        ("-k test_c", "1 passed, 0 failed, 0 skipped", chosen, 2),
    ] {
        let ran = run(place.mxfp4(&[&format!("--jobs={jobs}")]).env(env, addopts));
        assert_last(&ran, counts);
        assert_eq!(
            ran.code,
            Some(i32::from(counts == all)),
            "{addopts}: {ran:?}"
        );
        let lines = ran.stderr.split_inclusive('\n');
        let warnings: String = lines.filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(warnings, said, "{addopts}: {ran:?}");
    }
    // What NAME chooses is run, whatever else chose.
    let ran = run(place.mxfp4(&["test_b", "--jobs=2"]).env(env, "-k test_c"));
    assert_last(&ran, "0 passed, 1 failed, 0 skipped");

    fs::write(&above, "[pytest]\naddopts = -x\n").unwrap();
    let ran = run(place.mxfp4(&[]).env(env, "--color=no"));
    assert_last(&ran, all);
    let from = format!("`addopts` of {}", above.canonicalize().unwrap().display());
    assert!(
        ran.stderr.contains(&left_out("-x/--maxfail", &from)),
        "{ran:?}"
    );
}

fn no_tests(place: &Place) {
    let says = |ran: &Ran, what: &str| {
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stdout.contains(what) || ran.stderr.contains(what),
            "{what:?} is not in {ran:?}"
        );
    };
    let configure = |more: &str| {
        let config = format!("[sdk]\npath = \"sdk\"\n[tests]\nmojo = []\n{more}");
        fs::write(place.path("mxfp4.toml"), config).unwrap();
    };
    // No Python test at all, nor any other.
    configure("python = []\n");
    says(&place.test(&[]), "error: there is no test\n");

    configure("");
    place.write("test_a.py", "def test_a(): pass\n");
    says(
        &run(place.mxfp4(&[]).env("PYTEST_ADDOPTS", "--help")),
        "  python: pytest\n      pytest ended before it looked for tests; see its output, and its options in PYTEST_ADDOPTS and `addopts`\n",
    );
    // The test that the configuration names has another name by now.
    configure("python-filter = \"parity\"\n");
    let filtered = "\n      there are no tests that `tests.python-filter` (parity) leaves\n";
    says(&place.test(&[]), filtered);
    configure("");
    // A file above that looks for other names, and a plugin that is content with nothing.
    let above = place.path("../pytest.ini");
    fs::write(&above, "[pytest]\npython_files = check_*.py\n").unwrap();
    let reason = format!(
        "  python: pytest\n      there are no tests; pytest's settings are those of {}\n",
        above.canonicalize().unwrap().display()
    );
    says(&place.test(&[]), &reason);
    place.write(
        "conftest.py",
        "def pytest_sessionfinish(session): session.exitstatus = 0\n",
    );
    says(&place.test(&["--jobs=2"]), &reason);
}

fn skipped(place: &Place) {
    place.write(
        "test_parity.py",
        "import pytest\npytest.importorskip('nothing', reason='skipped: needs torch')\ndef test_it(): pass\n",
    );
    place.write(
        "test_parity_tokens.py",
        "import pytest\ndef test_one(): pass\ndef test_gpu(): pytest.skip('skipped: needs a GPU')\n",
    );
    let missed =
        "error: python/tests/test_parity.py was asked for, and skipped as a whole: needs torch\n";
    let nothing =
        "error: each test that was asked for was skipped, so that nothing was tried: needs a GPU\n";
    let only = "0 passed, 0 failed, 1 skipped";
    for (args, counts, error) in [
        (&["--jobs=1"][..], "1 passed, 0 failed, 2 skipped", ""),
        (
            &["parity", "--jobs=2"],
            "1 passed, 0 failed, 2 skipped",
            missed,
        ),
        (&["test_parity.py::test_it"], only, missed),
        (&["/test_it$/"], only, missed),
        (&["test_gpu"], only, nothing),
        (&["tokens"], "1 passed, 0 failed, 1 skipped", ""),
        // It was not asked for more than others of its folder.
        (&["/^python/"], "1 passed, 0 failed, 2 skipped", ""),
    ] {
        let ran = place.test(args);
        assert_last(&ran, counts);
        assert_eq!(
            ran.code,
            Some(i32::from(!error.is_empty())),
            "{args:?}: {ran:?}"
        );
        assert!(ran.stderr.ends_with(error), "{args:?}: {ran:?}");
    }
}
