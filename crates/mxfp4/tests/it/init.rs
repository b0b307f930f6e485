//! `mxfp4 init`: a workspace that builds and passes its tests, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Ran, folder, mxfp4, run, sdk, trial};
use libtest_mimic::{Completion, Failed, Trial};

type Tested = Result<Completion, Failed>;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = REFUSED
        .iter()
        .map(|case| trial::test(module_path!(), case.name, || case.test()))
        .collect();
    trials.extend([
        trial::ignorable(
            module_path!(),
            "what_it_makes_builds_and_passes",
            builds_and_passes,
        ),
        trial::test(
            module_path!(),
            "setup_takes_its_lock_file",
            setup_takes_its_lock_file,
        ),
        trial::test(
            module_path!(),
            "the_folder_names_the_package",
            the_folder_names_the_package,
        ),
    ]);
    trials
}

/// In a folder with these files `mxfp4 init ARGS` exits with 2, says this, and leaves the files as they are.
struct Refused {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
    says: &'static [&'static str],
}

const REFUSED: &[Refused] = &[
    Refused {
        name: "a_folder_that_holds_something",
        files: &[("new/notes.txt", "mine"), ("new/.git/HEAD", "")],
        args: &["new"],
        says: &["new is not empty: notes.txt would be in the way"],
    },
    Refused {
        name: "a_folder_that_holds_much",
        files: &[
            ("1", ""),
            ("2", ""),
            ("3", ""),
            ("4", ""),
            ("5", ""),
            ("6", ""),
            ("7", ""),
            ("8", ""),
            ("9", ""),
            (".x", ""),
            ("a", ""),
            ("b", ""),
        ],
        args: &["--name", "k"],
        says: &[".x, 1, 2, ", ", 9 and 2 more would be in the way"],
    },
    Refused {
        name: "a_name_that_is_no_identifier",
        files: &[],
        args: &["new", "--name", "fast-gelu"],
        says: &["`fast-gelu` cannot be", "Mojo identifier"],
    },
    Refused {
        name: "a_name_that_is_a_word_of_mojo",
        files: &[],
        args: &["struct"],
        says: &["`struct` cannot be", "--name"],
    },
    Refused {
        name: "a_folder_whose_name_is_no_identifier",
        files: &[],
        args: &["2nd"],
        says: &["`2nd` cannot be", "choose one with --name"],
    },
];

impl Refused {
    fn test(&self) -> Result<(), Failed> {
        let place = folder(self.files.iter().copied());
        let before = all_files(place.path());
        let ran = run(mxfp4(place.path()).arg("init").args(self.args));
        let says = self.says.iter().all(|part| ran.stderr.contains(part));
        match ran.code == Some(2) && says && all_files(place.path()) == before {
            true => Ok(()),
            false => Err(format!("{ran:#?}").into()),
        }
    }
}

/// Every file at or below `folder` with its content.
fn all_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            files.extend(all_files(&path));
        } else {
            let content = fs::read(&path).expect("it can be read");
            files.insert(path, content);
        }
    }
    files
}

fn init(place: &Path, args: &[&str]) -> Result<Ran, Failed> {
    let ran = run(mxfp4(place).arg("init").args(args));
    match ran.code {
        Some(0) => Ok(ran),
        _ => Err(format!("{ran:#?}").into()),
    }
}

fn the_folder_names_the_package() -> Result<(), Failed> {
    let place = folder([("fast-gelu/.git/HEAD", "")]);
    let ran = init(place.path(), &["fast-gelu"])?;
    let root = place.path().join("fast-gelu");
    assert_eq!(ran.stdout, format!("{}\n", root.display()));
    assert_eq!(all_files(&root).len(), 15);
    for file in [
        "kernels/fast_gelu/op.mojo",
        "kernels/test/test_fast_gelu.mojo",
        "python/tests/test_fast_gelu.py",
        ".gitignore",
        ".vscode/tasks.json",
    ] {
        assert!(root.join(file).is_file(), "{file}");
    }
    let ran = run(mxfp4(&root).args(["vscode", "--check"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // A second time it is in its own way.
    let ran = run(mxfp4(&root).args(["init", "--name", "k"]));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("mxfp4.toml"), "{ran:?}");
    Ok(())
}

/// With a uv that makes nothing: it is asked for the environment only when the pins agree.
fn setup_takes_its_lock_file() -> Result<(), Failed> {
    let place = folder([("bin/uv", "#!/bin/sh\n[ \"$1\" != venv ] && echo /bin/sh\n")]);
    let uv = place.path().join("bin/uv");
    fs::set_permissions(uv, fs::Permissions::from_mode(0o755))?;
    init(place.path(), &["new"])?;
    let path = format!("{}:/usr/bin:/bin", place.path().join("bin").display());
    let ran = run(mxfp4(&place.path().join("new"))
        .arg("setup")
        .env("PATH", path));
    match ran.code == Some(4) && ran.stderr.contains("`uv venv` failed") {
        true => Ok(()),
        false => Err(format!("{ran:#?}").into()),
    }
}

fn builds_and_passes() -> Tested {
    let sdk = match sdk() {
        Ok(sdk) => sdk,
        Err(skip) => return Ok(Completion::ignored_with(skip)),
    };
    let place = tempfile::tempdir()?;
    init(place.path(), &["a new one", "--name", "fast_gelu"])?;
    let root = place.path().join("a new one");
    let mxfp4 = |args: &[&str]| {
        // No GPU, whatever this machine has.
        run(mxfp4(&root)
            .args(args)
            .env("MXFP4_SDK", &sdk)
            .env("CUDA_VISIBLE_DEVICES", ""))
    };
    let ran = mxfp4(&["build"]);
    let package = format!("{}\n", root.join("build/fast_gelu.mojoc").display());
    assert_eq!((ran.code, &ran.stdout), (Some(0), &package), "{ran:?}");
    assert_eq!(ran.stderr, "compiling fast_gelu\n");
    let ran = mxfp4(&["fmt", "--check"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    let ran = mxfp4(&["test"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in [
        "     1  needs a GPU\n",
        "\nmojo: 2 passed, 0 failed, 0 skipped\npython: 1 passed, 0 failed, 1 skipped\n",
        "\n3 passed, 0 failed, 1 skipped\n",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {ran:?}");
    }
    Ok(Completion::Completed)
}
