//! `mxfp4 fmt` with the SDK's own formatters.

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Ran, TestWorkspace, folder, mxfp4, run, sdk, tool, trial};
use libtest_mimic::{Completion, Failed, Trial};

type Tested = Result<Completion, Failed>;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let tests = [
        ("check_lists_and_changes_nothing", check as fn(&Place)),
        ("it_formats_and_then_there_is_nothing_to_do", formats),
        ("only_what_is_named", only_what_is_named),
        ("a_file_that_cannot_be_parsed", a_file_that_cannot_be_parsed),
        ("a_path_that_is_not_there", a_path_that_is_not_there),
    ];
    let mut trials: Vec<Trial> = tests
        .map(|(name, test)| {
            trial::ignorable(module_path!(), name, move || -> Tested {
                match sdk() {
                    Err(why) => Ok(Completion::ignored_with(why)),
                    Ok(sdk) => {
                        test(&Place::new(sdk));
                        Ok(Completion::Completed)
                    }
                }
            })
        })
        .into();
    trials.push(trial::ignorable(
        module_path!(),
        "rust_too_where_there_is_cargo",
        rust,
    ));
    trials
}

const MOJO: [&str; 2] = ["def main( ):\n  print( 1)\n", "def main():\n    print(1)\n"];
const PYTHON: [&str; 2] = ["x = {  1 }\n", "x = {1}\n"];
const RUST: [&str; 2] = ["fn main( ) {  }\n", "fn main() {}\n"];

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
            "a b",
            [
                ("mxfp4.toml", ""),
                (".gitignore", "/made/\n"),
                ("kernels/x/a.mojo", MOJO[0]),
                ("kernels/x/good.mojo", MOJO[1]),
                ("python/b.py", PYTHON[0]),
                ("python/good.py", PYTHON[1]),
                ("made/c.py", PYTHON[0]),
                (".hidden/d.py", PYTHON[0]),
            ],
        );
        Self { workspace, sdk }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = mxfp4(&self.path("kernels"));
        command.env("MXFP4_SDK", &self.sdk).arg("fmt").args(args);
        command
    }

    fn fmt(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }
}

fn check(place: &Place) {
    let ran = place.fmt(&["--check"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.stdout, "kernels/x/a.mojo\npython/b.py\n");
    let says = "error: 2 files not formatted; `mxfp4 fmt` formats what is listed\n";
    assert_eq!(ran.stderr, says);
    assert_eq!(place.read("kernels/x/a.mojo"), MOJO[0]);
    assert_eq!(place.read("python/b.py"), PYTHON[0]);
}

fn formats(place: &Place) {
    let ran = place.fmt(&[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "kernels/x/a.mojo\npython/b.py\n");
    assert_eq!(ran.stderr, "");
    assert_eq!(place.read("kernels/x/a.mojo"), MOJO[1]);
    assert_eq!(place.read("python/b.py"), PYTHON[1]);
    // What git ignores, and what is hidden.
    assert_eq!(place.read("made/c.py"), PYTHON[0]);
    assert_eq!(place.read(".hidden/d.py"), PYTHON[0]);
    for args in [&[][..], &["--check"]] {
        let ran = place.fmt(args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    }
}

/// Relative to the folder it is called in.
fn only_what_is_named(place: &Place) {
    let ran = place.fmt(&["--check", "x", "../.hidden/d.py"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("d.py\n"), "{ran:?}");
    assert!(ran.stdout.ends_with("kernels/x/a.mojo\n"), "{ran:?}");
    let ran = place.fmt(&["x"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "kernels/x/a.mojo\n");
    assert_eq!(place.read("python/b.py"), PYTHON[0]);
}

fn a_file_that_cannot_be_parsed(place: &Place) {
    for (name, text) in [
        ("kernels/x/bad.mojo", "def main(:\n    pass\n"),
        ("python/bad.py", "x = {  1 \n"),
    ] {
        fs::write(place.path(name), text).unwrap();
        for args in [&["--check"][..], &[]] {
            let ran = place.fmt(args);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            let file = name.rsplit('/').next().unwrap();
            assert!(ran.stderr.contains(file), "{ran:?}");
            assert!(ran.stderr.contains("could not be formatted"), "{ran:?}");
        }
        fs::remove_file(place.path(name)).unwrap();
    }
}

fn a_path_that_is_not_there(place: &Place) {
    let ran = place.fmt(&["gone"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("gone does not exist"), "{ran:?}");
}

/// Needs no SDK: there is nothing for it to format.
fn rust() -> Tested {
    for program in ["cargo", "rustfmt"] {
        if let Err(why) = tool(program) {
            return Ok(Completion::ignored_with(format!("skipped: {why}")));
        }
    }
    let place = folder([
        ("mxfp4.toml", ""),
        (
            "Cargo.toml",
            "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
        ),
        ("src/main.rs", RUST[0]),
    ]);
    let fmt = |args: &[&str]| {
        let mut command = mxfp4(place.path());
        // rustup finds its toolchains by these.
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
        ] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        run(command.args(["fmt", "--no-setup"]).args(args))
    };
    let file = place.path().join("src/main.rs");
    for paths in [&[][..], &["src"]] {
        fs::write(&file, RUST[0])?;
        let check = fmt(&[&["--check"], paths].concat());
        let made = fmt(paths);
        let holds = (check.code, made.code) == (Some(1), Some(0))
            && [&check, &made]
                .iter()
                .all(|ran| ran.stdout == "src/main.rs\n")
            && fs::read_to_string(&file)? == RUST[1];
        if !holds {
            return Err(format!("{paths:?}: {check:#?} {made:#?}").into());
        }
    }
    fs::write(&file, "fn main( {  }\n")?;
    let ran = fmt(&[]);
    if ran.code != Some(1) || !ran.stderr.contains("main.rs:1:") {
        return Err(format!("{ran:#?}").into());
    }
    Ok(Completion::Completed)
}
