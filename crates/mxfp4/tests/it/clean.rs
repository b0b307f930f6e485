//! `mxfp4 clean`: what goes, what stays, and who waits for whom.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Ran, TestWorkspace, folder, mxfp4, run, trial};
use libtest_mimic::Trial;

/// The tests.
pub fn trials() -> Vec<Trial> {
    trial::all(
        module_path!(),
        [
            (
                "each_flag_removes_its_part",
                each_flag_removes_its_part as fn(),
            ),
            (
                "it_says_how_much_is_free_again",
                it_says_how_much_is_free_again,
            ),
            ("what_it_did_not_make_stays", what_it_did_not_make_stays),
            ("of_a_link_only_the_link_goes", of_a_link_only_the_link_goes),
            (
                "a_build_that_runs_is_waited_for",
                a_build_that_runs_is_waited_for,
            ),
            (
                "what_others_are_at_work_on_stays",
                what_others_are_at_work_on_stays,
            ),
            (
                "of_a_modular_checkout_only_our_folder_goes",
                of_a_modular_checkout_only_our_folder_goes,
            ),
        ],
    )
}

/// A compiler that waits, where it is told to, until the file `$HOLD` has gone.
const MOJO: &str = "#!/bin/sh\nfor out; do :; done\necho package > \"$out\"\n\
                    while [ -e \"$HOLD\" ]; do sleep 0.05; done\n";

struct Place(TestWorkspace);

impl Deref for Place {
    type Target = TestWorkspace;

    fn deref(&self) -> &TestWorkspace {
        &self.0
    }
}

impl Place {
    /// A workspace in which everything was made that can be.
    fn new() -> Self {
        let place = Self(TestWorkspace::new([
            ("mxfp4.toml", "[sdk]\npath = \"sdk\"\n"),
            ("kernels/mxfp4/__init__.mojo", ""),
            ("sdk/modular/bin/mojo", MOJO),
            ("sdk/modular/lib/mojo/std.mojoc", ""),
            (".mxfp4/cache/model", "compiled"),
            (".mxfp4/demo/config.json", "{}"),
            (".mxfp4/tools/bin/uv", "uv"),
            (".mxfp4/setup.lock", ""),
            (".venv/mxfp4-setup.json", "{\"inputs\":\"\"}"),
            (".venv/lib/big", "0123456789"),
            (".venv.partial-1/lib/big", "0123456789"),
        ]));
        place.make_executable("sdk/modular/bin/mojo");
        place.build();
        place
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.command();
        command.env("HOLD", self.path("hold")).args(args);
        command
    }

    fn build(&self) {
        let ran = run(&mut self.command(&["build"]));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(self.path("build/mxfp4.mojoc").is_file());
    }

    fn clean(&self, flags: &[&str]) -> Ran {
        let ran = run(self.command(&["clean"]).args(flags));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran
    }

    fn is_there(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }
}

fn each_flag_removes_its_part() {
    let all = [
        "build",
        ".mxfp4/demo",
        ".mxfp4/cache",
        ".mxfp4/tools",
        ".venv",
        ".venv.partial-1",
    ];
    for (flags, gone) in [
        (&[][..], &all[..2]),
        (&["--cache"], &all[..3]),
        (&["--sdk"], &[all[0], all[1], all[3], all[4], all[5]]),
        (&["--cache", "--sdk"], &all),
        (&["--all"], &all),
    ] {
        let place = Place::new();
        let dry = place.clean(&[flags, &["--dry-run"]].concat());
        assert!(all.iter().all(|name| place.is_there(name)), "{dry:?}");
        let ran = place.clean(flags);
        for name in all {
            assert_eq!(
                place.is_there(name),
                !gone.contains(&name),
                "{name} after {flags:?}: {ran:?}"
            );
        }
        assert!(place.is_there("kernels/mxfp4/__init__.mojo") && place.is_there("sdk"));
        let said = dry.stdout.replace("would remove", "removed");
        assert_eq!(said.replace("would free", "freed"), ran.stdout);
        assert_eq!(
            place.is_there(".mxfp4"),
            flags != ["--all"] && gone.len() < 6
        );
        let again = place.clean(flags);
        assert_eq!(again.stdout, "freed 0 bytes\n", "{flags:?}");
    }
}

fn it_says_how_much_is_free_again() {
    let place = Place::new();
    // With a second name elsewhere a file takes as much as before.
    fs::write(place.path(".mxfp4/cache/linked"), "0123456789").unwrap();
    fs::hard_link(place.path(".mxfp4/cache/linked"), place.path("elsewhere")).unwrap();
    place.clean(&[]);
    let ran = place.clean(&["--cache"]);
    let cache = place.path(".mxfp4/cache");
    let expected = format!("removed {} (8 bytes)\nfreed 8 bytes\n", cache.display());
    assert_eq!(ran.stdout, expected);
}

fn what_it_did_not_make_stays() {
    let place = Place::new();
    fs::remove_file(place.path(".venv/mxfp4-setup.json")).unwrap();
    let foreign = [
        "build/notes.txt",
        "build/mxfp4.txt",
        "build/other.mojoc",
        ".venv",
    ];
    for name in &foreign[..3] {
        fs::write(place.path(name), "mine").unwrap();
    }
    let ran = place.clean(&["--all"]);
    for name in foreign {
        assert!(place.is_there(name), "{name}: {ran:?}");
        let path = place.path(name);
        let line = format!(
            "warning: mxfp4 did not make {}, which stays\n",
            path.display()
        );
        assert!(ran.stderr.contains(&line), "{line} is not in {ran:?}");
    }
    assert!(place.is_there(".venv/lib/big"));
    assert!(!place.is_there("build/mxfp4.mojoc") && !place.is_there("build/.mxfp4.json"));
    // It is not in the way.
    place.build();
}

fn of_a_link_only_the_link_goes() {
    let place = Place::new();
    let elsewhere = folder([("mxfp4.mojoc", "shared"), ("cache/model", "shared")]);
    place.clean(&["--cache"]);
    symlink(elsewhere.path(), place.path("build")).unwrap();
    fs::create_dir_all(place.path(".mxfp4")).unwrap();
    symlink(elsewhere.path().join("cache"), place.path(".mxfp4/cache")).unwrap();
    let ran = place.clean(&["--cache"]);
    assert!(
        !place.is_there("build") && !place.is_there(".mxfp4/cache"),
        "{ran:?}"
    );
    assert!(elsewhere.path().join("mxfp4.mojoc").is_file());
    assert!(elsewhere.path().join("cache/model").is_file());
}

fn a_build_that_runs_is_waited_for() {
    let place = Place::new();
    place.clean(&[]);
    fs::write(place.path("hold"), "").unwrap();
    let build = place
        .command(&["build"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let is_compiling = || {
        let entries = fs::read_dir(place.path("build"))
            .into_iter()
            .flatten()
            .flatten();
        let mut names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.any(|name| name.contains(".partial-"))
    };
    let end = Instant::now() + Duration::from_secs(60);
    while !is_compiling() {
        assert!(Instant::now() < end, "no compiler was started");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut clean = place
        .command(&["clean", "--all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(clean.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert_eq!(
        said,
        "waiting for another `mxfp4 build` in this workspace\n"
    );
    assert!(is_compiling() && place.is_there(".venv"));
    fs::remove_file(place.path("hold")).unwrap();
    let built = Ran::from(build.wait_with_output().unwrap());
    assert_eq!(built.code, Some(0), "{built:?}");
    stderr.read_to_string(&mut said).unwrap();
    let cleaned = Ran::from(clean.wait_with_output().unwrap());
    assert_eq!(cleaned.code, Some(0), "{said}");
    assert!(cleaned.stdout.contains("build/mxfp4.mojoc"), "{cleaned:?}");
    assert!(!place.is_there("build") && !place.is_there(".venv"));
}

fn what_others_are_at_work_on_stays() {
    let place = Place::new();
    for name in [
        "carried.partial-7",
        "carried.partial-7/big",
        "other.partial-7",
    ] {
        fs::create_dir_all(place.path(&format!(".mxfp4/{name}"))).unwrap();
    }
    let lock = fs::File::create(place.path(".mxfp4/carried.lock")).unwrap();
    lock.lock().unwrap();
    let ran = place.clean(&["--all"]);
    assert!(place.is_there(".mxfp4/carried.partial-7/big"), "{ran:?}");
    assert!(place.is_there(".mxfp4/carried.lock"), "{ran:?}");
    assert!(!place.is_there(".mxfp4/other.partial-7"), "{ran:?}");
    assert!(
        ran.stderr
            .contains("carried.partial-7 is in use, and stays\n"),
        "{ran:?}"
    );
    drop(lock);
    let ran = place.clean(&["--all"]);
    assert!(!place.is_there(".mxfp4"), "{ran:?}");
}

fn of_a_modular_checkout_only_our_folder_goes() {
    let checkout = folder([
        ("bazelw", ""),
        ("max/kernels/src/", ""),
        ("build/mxfp4.mojoc", "theirs"),
        (".venv/mxfp4-setup.json", "{}"),
        (".mxfp4/cache/model", "compiled"),
    ]);
    let ran = run(mxfp4(checkout.path()).args(["clean", "--all"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("./bazelw clean"), "{ran:?}");
    let is_there = |name: &str| checkout.path().join(name).exists();
    assert!(is_there("build/mxfp4.mojoc") && is_there(".venv/mxfp4-setup.json"));
    assert!(!is_there(".mxfp4"), "{ran:?}");
}
