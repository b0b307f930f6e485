//! `mxfp4 build` with the real compiler on a package of two lines; what a kill leaves is seen in `faults`.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Ran, TestWorkspace, folder, mxfp4, run, sdk, trial};
use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;

type Tested = Result<Completion, Failed>;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let tests = [
        (
            "what_it_prints_is_what_is_loaded",
            what_it_prints as fn(&Place),
        ),
        ("nothing_is_done_twice", nothing_is_done_twice),
        ("every_change_is_seen", every_change_is_seen),
        ("a_linked_folder_is_compiled_anew", a_linked_folder),
        ("a_failed_build_keeps_the_last_good_package", a_failed_build),
        ("two_at_once_compile_once", two_at_once),
        ("packages_are_told_apart", packages_are_told_apart),
        ("a_program_reads_json", a_program_reads_json),
        ("clean_builds_anew", clean_builds_anew),
        ("an_accelerator_is_compiled_for", an_accelerator),
        ("debug_where_the_compiler_takes_it", debug_flags),
        ("a_package_that_is_not_there", a_package_that_is_not_there),
        ("an_old_package_of_the_other_kind_goes", the_other_kind),
    ];
    let trials = tests.map(|(name, test)| {
        trial::ignorable(module_path!(), name, move || -> Tested {
            match sdk() {
                Err(why) => Ok(Completion::ignored_with(why)),
                Ok(sdk) => {
                    test(&Place::new(sdk));
                    Ok(Completion::Completed)
                }
            }
        })
    });
    trials.into()
}

const SOURCE: &str = "def twice(x: Int) -> Int:\n    return 2 * x\n";
const CONFIG: &str = "[[kernels]]\nname = \"tiny\"\nsource = \"kernels/tiny\"\n";

struct Place {
    workspace: TestWorkspace,
    sdk: PathBuf,
}

impl Deref for Place {
    type Target = TestWorkspace;

    fn deref(&self) -> &TestWorkspace {
        &self.workspace
    }
}

impl Place {
    fn new(sdk: PathBuf) -> Self {
        let workspace = TestWorkspace::named(
            "a folder's $x",
            [
                ("mxfp4.toml", CONFIG),
                (
                    "kernels/tiny/__init__.mojo",
                    "from .sub.twice import twice\n",
                ),
                ("kernels/tiny/sub/__init__.mojo", ""),
                ("kernels/tiny/sub/twice.mojo", SOURCE),
            ],
        );
        Self { workspace, sdk }
    }

    fn mxfp4(&self, args: &[&str]) -> Command {
        let mut command = mxfp4(&self.path("kernels"));
        command.env("MXFP4_SDK", &self.sdk).args(args);
        command
    }

    fn build(&self) -> Ran {
        run(&mut self.mxfp4(&["build"]))
    }

    /// Builds, which must succeed, and says whether the compiler was started.
    fn compiles(&self) -> bool {
        let ran = self.build();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout, format!("{}\n", self.package().display()));
        ran.stderr.contains("compiling tiny")
    }

    fn package(&self) -> PathBuf {
        self.path("build/tiny.mojoc")
    }

    fn files_in_build(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("build")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn what_it_prints(place: &Place) {
    let ran = place.build();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let env = run(&mut place.mxfp4(&["env"]));
    let loaded = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "{}\nprintf '%s\\n' \"$MAX_CUSTOM_EXTENSIONS\"",
            env.stdout
        ))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&loaded.stdout), ran.stdout);
    assert_eq!(ran.stdout.trim_end(), place.package().to_str().unwrap());
    assert!(place.package().is_file());
}

fn nothing_is_done_twice(place: &Place) {
    assert!(place.compiles());
    let before = fs::metadata(place.package()).unwrap();
    // Young sources are read again, then the stamps do.
    for _ in 0..3 {
        assert!(!place.compiles());
        std::thread::sleep(Duration::from_millis(150));
    }
    let after = fs::metadata(place.package()).unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec())
    );
    assert_eq!(
        place.files_in_build(),
        [".lock", ".tiny.json", "tiny.mojoc"]
    );
}

fn every_change_is_seen(place: &Place) {
    assert!(place.compiles());
    let twice = "kernels/tiny/sub/twice.mojo";
    place.write(twice, SOURCE);
    assert!(!place.compiles(), "written anew with the same content");
    place.write(twice, &SOURCE.replace("2 *", "x +"));
    assert!(place.compiles(), "another source of the same size");
    place.write("kernels/tiny/sub/more.mojo", "");
    assert!(place.compiles(), "a new source");
    place.write(
        "mxfp4.toml",
        &format!("{CONFIG}flags = [\"--disable-warnings\"]\n"),
    );
    assert!(place.compiles(), "a new flag");
    fs::remove_file(place.path("build/.tiny.json")).unwrap();
    assert!(place.compiles(), "no record");
    place.write("build/tiny.mojoc", "not what was made");
    assert!(place.compiles(), "another package in its place");
    assert!(!place.compiles());
}

fn a_linked_folder(place: &Place) {
    let shared = folder([("__init__.mojo", SOURCE)]);
    symlink(shared.path(), place.path("kernels/tiny/linked")).unwrap();
    place.write("kernels/tiny/__init__.mojo", "from .linked import twice\n");
    assert!(place.compiles());
    let before = fs::read(place.package()).unwrap();
    fs::write(
        shared.path().join("__init__.mojo"),
        SOURCE.replace("2 *", "3 *"),
    )
    .unwrap();
    assert!(place.compiles());
    assert_ne!(fs::read(place.package()).unwrap(), before);
}

fn a_failed_build(place: &Place) {
    assert!(place.compiles());
    let good = fs::read(place.package()).unwrap();
    let twice = "kernels/tiny/sub/twice.mojo";
    place.write(twice, "def twice(x: Int -> Int:\n    return 2 * x\n");
    for _ in 0..2 {
        let ran = place.build();
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!(ran.stdout, "");
        let source = format!(
            "error: expected ')' in argument list\n --> {}:1:18\n  |\n1 | def twice(x: Int -> Int:\n  \
             |                  ^\n\n",
            place.path(twice).display()
        );
        assert!(ran.stderr.contains(&source), "{source} is not in {ran:?}");
        assert!(
            ran.stderr.contains("error: tiny could not be compiled"),
            "{ran:?}"
        );
        assert_eq!(fs::read(place.package()).unwrap(), good);
    }
    assert_eq!(
        place.files_in_build(),
        [".lock", ".tiny.json", "tiny.mojoc"]
    );
    place.write(twice, SOURCE);
    assert!(
        !place.compiles(),
        "the last good package is that of these sources"
    );
}

fn two_at_once(place: &Place) {
    let start = || {
        let mut command = place.mxfp4(&["build"]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let runs = [start(), start()].map(|child| Ran::from(child.wait_with_output().unwrap()));
    let expected = format!("{}\n", place.package().display());
    for ran in &runs {
        assert_eq!((ran.code, &ran.stdout), (Some(0), &expected), "{ran:?}");
    }
    let compiled = runs.iter().filter(|ran| ran.stderr.contains("compiling"));
    assert_eq!(compiled.count(), 1, "{runs:?}");
}

fn json(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn packages_are_told_apart(place: &Place) {
    let broken = "def f():\n    a = one\n    b = two\n";
    let mut config = String::new();
    for name in ["one", "two", "three"] {
        config += &format!("[[kernels]]\nname = \"{name}\"\nsource = \"kernels/{name}\"\n");
        fs::create_dir(place.path(&format!("kernels/{name}"))).unwrap();
        let source = if name == "three" { SOURCE } else { broken };
        place.write(&format!("kernels/{name}/__init__.mojo"), source);
    }
    place.write("mxfp4.toml", &config);
    let ran = place.build();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    // What was said of each stands together, whichever came first.
    let files: Vec<_> = ran
        .stderr
        .lines()
        .filter(|line| line.contains(" --> "))
        .map(|line| line.contains("/kernels/one/"))
        .collect();
    assert_eq!(files.len(), 8, "{ran:?}");
    let changes = files.windows(2).filter(|pair| pair[0] != pair[1]);
    assert_eq!(changes.count(), 1, "{ran:?}");
    assert!(ran.stderr.contains("could not be compiled"), "{ran:?}");
    assert!(place.path("build/three.mojoc").is_file());
}

fn a_program_reads_json(place: &Place) {
    let build = || run(&mut place.mxfp4(&["build", "--message-format", "json"]));
    for fresh in [false, true] {
        let ran = build();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let [artifact, finished] = &json(&ran.stdout)[..] else {
            panic!("{ran:?}");
        };
        assert_eq!(artifact["reason"], "compiler-artifact");
        assert_eq!(artifact["package"], "tiny");
        assert_eq!(artifact["path"], place.package().to_str().unwrap());
        assert_eq!(artifact["fresh"], fresh);
        assert_eq!(finished["success"], true);
    }
    let twice = "kernels/tiny/sub/twice.mojo";
    place.write(twice, "def twice(x: Int -> Int:\n    return 2 * x\n");
    let ran = build();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let messages = json(&ran.stdout);
    let message = &messages[0]["message"];
    assert_eq!(messages[0]["reason"], "compiler-message", "{ran:?}");
    assert_eq!(message["level"], "error");
    assert_eq!(message["file"], place.path(twice).to_str().unwrap());
    assert_eq!(
        (&message["line"], &message["column"]),
        (&1.into(), &18.into())
    );
    let rendered = message["rendered"].as_str().unwrap();
    assert!(rendered.starts_with("error: expected ')'"), "{rendered}");
    let [.., finished, error] = &messages[..] else {
        panic!("{ran:?}");
    };
    assert_eq!(finished["success"], false);
    assert_eq!(error["error"], "tiny could not be compiled, see above");
    assert_eq!(
        (&error["kind"], &error["hint"]),
        (&"failed".into(), &Value::Null)
    );
}

fn clean_builds_anew(place: &Place) {
    assert!(place.compiles());
    let ran = run(&mut place.mxfp4(&["build", "--clean"]));
    assert!(ran.stderr.contains("compiling tiny"), "{ran:?}");
    assert!(!place.compiles());
}

fn an_accelerator(place: &Place) {
    let build =
        |accelerator| run(&mut place.mxfp4(&["build", "--target-accelerator", accelerator]));
    let ran = build("sm_90a");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        ran.stderr.contains("nothing here is compiled for sm_90a"),
        "{ran:?}"
    );

    fs::create_dir_all(place.path("kernels/test")).unwrap();
    let program = "from tiny.sub.twice import twice\n\ndef main():\n    print(twice(2))\n";
    place.write("kernels/test/compile_x.mojo", program);
    for compiled in [true, false] {
        let ran = build("sm_90a");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout, format!("{}\n", place.package().display()));
        assert_eq!(
            ran.stderr.contains("compiling compile_x for sm_90a"),
            compiled,
            "{ran:?}"
        );
    }
    assert!(place.path("build/sm_90a/compile_x").is_file());
    // What it was compiled for and how is on record.
    let ran = run(&mut place.mxfp4(&["build", "--target-accelerator", "sm_90a", "--debug"]));
    assert!(
        ran.stderr.contains("compiling compile_x for sm_90a"),
        "{ran:?}"
    );
}

/// Another generation of the compiler, which takes these flags for a package too, and the real one, which does not.
fn debug_flags(place: &Place) {
    let ran = run(&mut place.mxfp4(&["build", "--debug"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("--debug changes nothing"), "{ran:?}");

    let modular = "other/lib/python3.11/site-packages/modular";
    let mojo = "#!/bin/sh\nif [ \"$2\" = --help-hidden ]; then echo '  --debug-level <LEVEL>'; exit; fi\n\
                while [ \"$1\" != -o ]; do printf '%s ' \"$1\"; shift; done >&2\n\
                echo package > \"$2\"\n";
    for (name, text) in [
        ("pyvenv.cfg", "version_info = 3.11.7\n"),
        ("bin/python", ""),
        ("lib/python3.11/site-packages/modular/bin/mojo", mojo),
        (
            "lib/python3.11/site-packages/modular/lib/mojo/std.mojoc",
            "",
        ),
    ] {
        let path = place.path("other").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(place.path(&format!("{modular}/bin/mojo")), executable).unwrap();
    let build = |args: &[&str]| {
        let mut command = place.mxfp4(args);
        run(command.env("MXFP4_SDK", place.path("other")))
    };
    for (args, compiled, given) in [
        (&["build"][..], true, false),
        (&["build", "--debug"], true, true),
        (&["build", "--debug"], false, false),
        (&["build", "--release"], true, false),
    ] {
        let ran = build(args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(
            ran.stderr.contains("compiling tiny"),
            compiled,
            "{args:?}: {ran:?}"
        );
        assert_eq!(
            ran.stderr.contains("--debug-level=full"),
            given,
            "{args:?}: {ran:?}"
        );
        assert!(!ran.stderr.contains("--optimization-level"), "{ran:?}");
    }
}

fn a_package_that_is_not_there(place: &Place) {
    place.write(
        "mxfp4.toml",
        "[[kernels]]\nname = \"gone\"\nsource = \"kernels/gone\"\n",
    );
    let ran = place.build();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        ran.stderr.contains("kernel package `gone` is not there"),
        "{ran:?}"
    );
}

fn the_other_kind(place: &Place) {
    fs::create_dir(place.path("build")).unwrap();
    place.write("build/tiny.mojopkg", "of another SDK");
    assert!(place.compiles());
    assert!(!place.path("build/tiny.mojopkg").exists());
}
