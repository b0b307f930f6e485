//! `mxfp4 test` with the SDK's real pytest: what the plugin chooses and tells, and what becomes of a test that hangs,
//! dies, or passes only when tried again. The mojo beside it only pretends.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use support::{Ran, folder, mxfp4, quoted, run, sdk};

fn main() -> ExitCode {
    let tests = [
        ("what_becomes_of_each_test", each_test as fn(&Place)),
        ("what_hangs_or_dies_is_one_failure", hangs_or_dies),
        ("what_is_tried_again", tried_again),
        ("what_is_chosen", chosen),
        ("what_runs_side_by_side", side_by_side),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
            match sdk() {
                Err(why) => Ok(Completion::ignored_with(why)),
                Ok(sdk) => {
                    test(&Place::new(&sdk));
                    Ok(Completion::Completed)
                }
            }
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new(sdk: &Path) -> Self {
        let python = format!(
            "#!/bin/sh\nexec {} \"$@\"\n",
            quoted(sdk.join("bin/python"))
        );
        let mojo = "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = -o ] && > \"$2\"; shift; done\n";
        let modular = "sdk/lib/python3.11/site-packages/modular";
        let place = Self(folder([
            ("mxfp4.toml", "[sdk]\npath = \"sdk\"\n[tests]\nmojo = []\n"),
            ("kernels/mxfp4/__init__.mojo", ""),
            ("sdk/pyvenv.cfg", "version_info = 3.11.7\n"),
            ("sdk/bin/python", &python),
            (&format!("{modular}/bin/mojo"), mojo),
            (&format!("{modular}/lib/mojo/std.mojoc"), ""),
        ]));
        for name in ["sdk/bin/python", &format!("{modular}/bin/mojo")] {
            fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir_all(place.path("python/tests")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("python/tests").join(name), text).unwrap();
    }

    fn mxfp4(&self, args: &[&str]) -> Command {
        let mut command = mxfp4(self.0.path());
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
        " test --filter python/tests/test_a.py::test_fails\n",
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
        (&["--filter", "test_a.py::test_two[a b]"][..], 1),
        (&["--filter", "/test_(one|gpu)$/"], 2),
        (&["--gpu"], 1),
        (&["--no-gpu"], 3),
        (&["test_two"], 2),
        (&["one or gpu"], 2),
    ] {
        let ran = place.test(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        assert_last(&ran, &format!("{count} passed, 0 failed, 0 skipped"));
    }
    let ran = place.test(&["--list", "--filter", "two"]);
    assert_eq!(
        ran.stdout,
        "python: python/tests/test_a.py::test_two[a b]\npython: python/tests/test_a.py::test_two[c]\n"
    );
    let ran = place.test(&["--filter", "/nothing/"]);
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
        " test --filter python/tests/test_c.py::test_two\n",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }

    // What hangs or dies takes nobody along.
    place.write(
        "test_a.py",
        "import os, signal\ndef test_dies(): os.kill(os.getpid(), signal.SIGSEGV)\ndef test_after(): pass\n",
    );
    place.write("test_broken.py", "import nothing_of_that_name\n");
    let ran = place.test(&["--jobs=3", "--filter", "/test_(a|d)/"]);
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
