//! `mxfp4 --version` says what a workspace runs with, and answers anywhere.

use std::path::Path;

use crate::support::{folder, mxfp4, run, trial};
use libtest_mimic::Trial;

/// The tests.
pub fn trials() -> Vec<Trial> {
    trial::all(
        module_path!(),
        [
            (
                "it_names_the_sdk_of_the_workspace",
                it_names_the_sdk_of_the_workspace as fn(),
            ),
            (
                "it_answers_without_a_workspace_and_in_a_broken_one",
                it_answers_without_a_workspace_and_in_a_broken_one,
            ),
            ("without_a_command_it_says_so", without_a_command_it_says_so),
        ],
    )
}

const OWN: &str = concat!("mxfp4 ", env!("CARGO_PKG_VERSION"));

/// A workspace's SDK made of empty files, with these versions of MAX and Mojo.
fn sdk(folder: &str, max: &str, mojo: &str) -> Vec<(String, &'static str)> {
    [
        "modular/bin/mojo".to_owned(),
        "modular/lib/mojo/".to_owned(),
        format!("max-{max}.dist-info/"),
        format!("mojo-{mojo}.dist-info/"),
        format!("mojo_compiler-{mojo}.dist-info/"),
    ]
    .map(|name| (format!("{folder}/{name}"), ""))
    .into()
}

fn version(cwd: &Path, args: &[&str], variables: &[(&str, &str)]) -> String {
    let ran = run(mxfp4(cwd).args(args).envs(variables.iter().copied()));
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(ran.stderr, "");
    ran.stdout
}

fn it_names_the_sdk_of_the_workspace() {
    let toml = "[sdk]\nmax = \"26.7.0\"\nmojo = \"1.2.0\"\n";
    let site = ".venv/lib/python3.11/site-packages";
    let with = |files: Vec<(String, &'static str)>| {
        folder(
            files
                .into_iter()
                .chain([("mxfp4.toml".to_owned(), toml), ("deep/er/".to_owned(), "")]),
        )
    };
    let fresh = with(sdk(site, "26.7.0", "1.2.0"));
    let deep = fresh.path().join("deep/er");
    let both = format!("{OWN} (MAX 26.7.0, Mojo 1.2.0)\n");
    assert_eq!(version(&deep, &["--version"], &[]), both);
    let root = fresh.path().to_str().unwrap();
    let elsewhere = Path::new("/");
    assert_eq!(
        version(elsewhere, &["--root", root, "--version"], &[]),
        both
    );
    assert_eq!(
        version(elsewhere, &["--version"], &[("MXFP4_ROOT", root)]),
        both
    );

    let other = with(sdk(site, "26.6.1", "1.2.0"));
    assert_eq!(
        version(other.path(), &["--version"], &[]),
        format!("{OWN} (MAX 26.6.1 where mxfp4.toml asks for 26.7.0, Mojo 1.2.0)\n")
    );
    let none = with(vec![]);
    assert_eq!(
        version(none.path(), &["--version"], &[]),
        format!("{OWN} (MAX 26.7.0, Mojo 1.2.0; not installed)\n")
    );
    let checkout = folder(sdk(".pixi/envs/default", "1", "2").into_iter().chain([
        ("bazelw".to_owned(), ""),
        ("max/kernels/src/".to_owned(), ""),
    ]));
    assert_eq!(
        version(checkout.path(), &["--version"], &[]),
        format!("{OWN} (MAX 1, Mojo 2)\n")
    );
}

fn it_answers_without_a_workspace_and_in_a_broken_one() {
    let empty = folder::<&str, &str>([]);
    let broken = folder([("mxfp4.toml", "[sdk\n")]);
    for (place, args) in [
        (&empty, &["--version"][..]),
        (&empty, &["-V"]),
        (&broken, &["--version"]),
        (&broken, &["-V"]),
        (&empty, &["--root", "nowhere", "--version"]),
    ] {
        assert_eq!(
            version(place.path(), args, &[]),
            format!("{OWN}\n"),
            "{args:?}"
        );
    }
    let workspace = folder([("mxfp4.toml", "")]);
    assert_eq!(version(workspace.path(), &["-V"], &[]), format!("{OWN}\n"));
}

fn without_a_command_it_says_so() {
    let empty = folder::<&str, &str>([]);
    for args in [&[][..], &["-q"]] {
        let ran = run(mxfp4(empty.path()).args(args));
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        assert!(ran.stderr.contains("Usage: mxfp4"), "{ran:#?}");
    }
}
