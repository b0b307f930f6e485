//! What makes a kernel package stale: whatever the compiler can read. The compiler only pretends.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::support::stub::{MODULAR, Stub};
use crate::support::{run, trial};
use libtest_mimic::Trial;

/// The tests.
pub fn trials() -> Vec<Trial> {
    trial::all(
        module_path!(),
        [(
            "whatever_the_compiler_can_read_makes_a_package_stale",
            whatever_the_compiler_can_read_makes_a_package_stale as fn(),
        )],
    )
}

const CONFIG: &str =
    "[[kernels]]\nname = \"mxfp4\"\nsource = \"kernels/mxfp4\"\nincludes = [\"third\"]\n";

struct Place {
    stub: Stub,
    /// The user's own import path.
    elsewhere: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let elsewhere = crate::support::folder([("lib/dep.mojo", "one"), ("shared/s.mojo", "one")]);
        let stub = Stub::new(CONFIG, &[("third/dep.mojopkg", "a")]);
        symlink(
            elsewhere.path().join("shared"),
            stub.path("kernels/mxfp4/shared"),
        )
        .unwrap();
        Self { stub, elsewhere }
    }

    fn sdk(&self, name: &str) -> std::path::PathBuf {
        self.stub.path(MODULAR).join(name)
    }

    /// Builds, and says whether that compiled.
    fn compiles(&self, import_path: &str) -> bool {
        let mut command = self.stub.mxfp4(&["build"]);
        command.env(
            "MODULAR_MOJO_MAX_IMPORT_PATH",
            self.elsewhere.path().join(import_path),
        );
        let ran = run(&mut command);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stderr.contains("compiling mxfp4")
    }
}

/// Writes over a file in place and gives it back its time, as `rsync --inplace -t` may.
fn write_secretly(path: &Path, content: &str) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, content).unwrap();
    let times = FileTimes::new().set_modified(modified);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_times(times)
        .unwrap();
}

fn whatever_the_compiler_can_read_makes_a_package_stale() {
    type Change = fn(&Place);
    let changes: [(&str, Change, bool); 14] = [
        ("nothing", |_| {}, false),
        (
            "a source in a linked folder of the package",
            |p| fs::write(p.elsewhere.path().join("shared/s.mojo"), "two").unwrap(),
            true,
        ),
        (
            "a package in an include folder",
            |p| p.stub.write("third/dep.mojopkg", "b"),
            true,
        ),
        (
            "a source on the user's import path",
            |p| fs::write(p.elsewhere.path().join("lib/dep.mojo"), "two").unwrap(),
            true,
        ),
        (
            "a new source on the user's import path",
            |p| fs::write(p.elsewhere.path().join("lib/new.mojo"), "").unwrap(),
            true,
        ),
        (
            "a package of the SDK, in place",
            |p| fs::write(p.sdk("lib/mojo/std.mojoc"), "STD").unwrap(),
            true,
        ),
        (
            "a package of the SDK, with its size and time",
            |p| write_secretly(&p.sdk("lib/mojo/std.mojoc"), "dts"),
            true,
        ),
        (
            "a new package of the SDK",
            |p| fs::write(p.sdk("lib/mojo/new.mojoc"), "").unwrap(),
            true,
        ),
        (
            "the compiler, with its size and time",
            |p| {
                let mojo = p.sdk("bin/mojo");
                let text = fs::read_to_string(&mojo).unwrap();
                write_secretly(&mojo, &text.replace("stub", "STUB"));
            },
            true,
        ),
        (
            "a further link to the compiler, as uv makes",
            |p| fs::hard_link(p.sdk("bin/mojo"), p.stub.path("mojo")).unwrap(),
            false,
        ),
        (
            "a package beside it",
            |p| p.stub.write("kernels/far/x.mojo", ""),
            false,
        ),
        (
            "that is imported",
            |p| p.stub.write("kernels/mxfp4/a.mojo", "import far"),
            true,
        ),
        (
            "and then changes",
            |p| p.stub.write("kernels/far/x.mojo", "1"),
            true,
        ),
        (
            "a test",
            |p| p.stub.write("kernels/test/test_a.mojo", "echo PASS two"),
            false,
        ),
    ];
    let place = Place::new();
    assert!(place.compiles("lib"));
    for (name, change, stale) in changes {
        // Young files are read whatever their times say.
        std::thread::sleep(Duration::from_millis(150));
        assert!(!place.compiles("lib"), "before: {name}");
        change(&place);
        assert_eq!(place.compiles("lib"), stale, "{name}");
        assert!(!place.compiles("lib"), "after: {name}");
    }
    assert!(place.compiles("shared"), "another user's import path");
    let doctor = run(&mut place.stub.mxfp4(&["doctor", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&doctor.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let kernels = checks
        .iter()
        .find(|check| check["id"] == "kernels")
        .unwrap();
    assert_eq!(
        kernels["found"], "sources or compiler of mxfp4 have changed since",
        "the doctor has no import path of its own"
    );
}
