//! `mxfp4 setup --upgrade`: the pins move together or not at all. With a uv that only pretends, and with the real one.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Ran, TestWorkspace, folder, mxfp4, run, trial};
use libtest_mimic::{Completion, Failed, Trial};

type Tested = Result<Completion, Failed>;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let tests = [
        ("all_three_files_move_and_keep_the_rest", moves as fn()),
        ("marks_and_line_ends_stay", marks_and_line_ends),
        ("a_lock_that_fails_changes_nothing", a_lock_that_fails),
        (
            "an_installation_that_fails_puts_them_back",
            an_installation_that_fails,
        ),
        ("what_is_newest_already_stays", what_is_newest_stays),
        ("what_is_named_is_asked_for", what_is_named_is_asked_for),
        (
            "pins_that_disagree_are_noticed_and_mended",
            pins_that_disagree,
        ),
        ("wrong_use_is_refused", wrong_use),
    ];
    let mut trials: Vec<Trial> = tests
        .map(|(name, test)| {
            trial::test(module_path!(), name, move || {
                test();
                Ok(())
            })
        })
        .into();
    trials.push(trial::ignorable(
        module_path!(),
        "the_real_uv_and_the_real_index",
        the_real_uv,
    ));
    trials
}

/// Does to files what uv does: `lock` finds newer versions, unless `$BEHAVIOUR` has it fail or find none.
const UV: &str = r#"#!/bin/sh
echo "$*" >> "$LOG"
case "$1" in
--version) echo "uv 0.13.9" ;;
python) command -v sh ;;
lock)
    cp "$3/pyproject.toml" "$LOG.$(wc -l < "$LOG").toml"
    [ "$BEHAVIOUR" = none ] ||
        sed -i 's/"26.7.0"/"26.8.0"/; s/"1.2.0"/"1.3.0"/' "$3/uv.lock"
    if [ "$BEHAVIOUR" = lock ]; then
        echo "no solution found" >&2
        exit 1
    fi ;;
venv)
    for folder; do :; done
    mkdir -p "$folder/bin" && ln -s "$(command -v sh)" "$folder/bin/python"
    printf 'version_info = 3.11.7\n' > "$folder/pyvenv.cfg" ;;
sync)
    modular="$UV_PROJECT_ENVIRONMENT/lib/python3.11/site-packages/modular"
    mkdir -p "$modular/bin" "$modular/lib/mojo"
    printf '#!/bin/sh\n' > "$modular/bin/mojo" && chmod +x "$modular/bin/mojo"
    [ "$BEHAVIOUR" != sync ] ;;
esac
"#;

const SETTINGS: &str = "# Ours.\n[sdk]\nmax = \"26.7.0\" # tested\n\n[serve]\nport = 8000\n";
const PYPROJECT: &str = "[project]\nname = \"x\"\ndependencies = [\n    \"max[serve]==26.7.0\", # both\n    \"mojo==1.2.0\",\n]\n";
const LOCK: &str = "version = 1\n[[package]]\nname = \"max\"\nversion = \"26.7.0\"\n\
                    [[package]]\nname = \"mojo\"\nversion = \"1.2.0\"\n";
const FILES: [&str; 3] = ["mxfp4.toml", "python/pyproject.toml", "python/uv.lock"];

struct Place {
    workspace: TestWorkspace,
    programs: tempfile::TempDir,
}

impl Deref for Place {
    type Target = TestWorkspace;

    fn deref(&self) -> &TestWorkspace {
        &self.workspace
    }
}

impl Place {
    fn new() -> Self {
        let workspace = TestWorkspace::new(FILES.into_iter().zip([SETTINGS, PYPROJECT, LOCK]));
        let programs = folder([("uv", UV)]);
        let program = programs.path().join("uv");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            workspace,
            programs,
        }
    }

    fn command(&self, behaviour: &str, args: &[&str]) -> Command {
        let mut command = mxfp4(self.root());
        let path = format!("{}:/usr/bin:/bin", self.programs.path().display());
        command
            .env("PATH", path)
            .env("BEHAVIOUR", behaviour)
            .env("LOG", self.programs.path().join("log"))
            .arg("setup")
            .args(args);
        command
    }

    fn setup(&self, behaviour: &str, args: &[&str]) -> Ran {
        run(&mut self.command(behaviour, args))
    }

    fn files(&self) -> BTreeMap<&'static str, String> {
        let read = |name| (name, fs::read_to_string(self.path(name)).unwrap());
        FILES.map(read).into()
    }

    /// What uv was asked to lock, each time.
    fn asked(&self) -> Vec<String> {
        let mut numbers = 1..40;
        let texts = numbers.by_ref().filter_map(|number| {
            let name = format!("log.{number}.toml");
            fs::read_to_string(self.programs.path().join(name)).ok()
        });
        texts.collect()
    }

    /// That nothing is left of the work on the side.
    fn assert_tidy(&self) {
        let entries = fs::read_dir(self.path(".mxfp4")).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["setup.lock"]);
    }
}

fn moves() {
    let place = Place::new();
    let ran = place.setup("", &["--upgrade"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "max 26.7.0 -> 26.8.0\nmojo 1.2.0 -> 1.3.0\n");
    let expected = [
        SETTINGS.replace(
            "\"26.7.0\" # tested\n",
            "\"26.8.0\" # tested\nmojo = \"1.3.0\"\n",
        ),
        PYPROJECT
            .replace("26.7.0", "26.8.0")
            .replace("1.2.0", "1.3.0"),
        LOCK.replace("26.7.0", "26.8.0").replace("1.2.0", "1.3.0"),
    ];
    assert_eq!(place.files(), FILES.into_iter().zip(expected).collect());
    // Newer ones were asked for, then the lock file was made to tell what pyproject.toml asks for now.
    let asked = place.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[0].contains("\"max[serve]>=26.7.0\"") && asked[0].contains("\"mojo>=1.2.0\""));
    assert_eq!(asked[1], place.files()["python/pyproject.toml"]);
    place.assert_tidy();
    assert!(
        place
            .path(".venv/lib/python3.11/site-packages/modular/bin/mojo")
            .is_file()
    );
    let again = place.setup("", &[]);
    assert_eq!(again.code, Some(0), "{again:?}");
}

fn marks_and_line_ends() {
    let place = Place::new();
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let before = place.files();
    for (name, text) in &before {
        fs::write(place.path(name), windows(text)).unwrap();
    }
    let ran = place.setup("", &["--upgrade"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let moved = place.files();
    let other = Place::new();
    assert_eq!(other.setup("", &["--upgrade"]).code, Some(0));
    let expected = other.files().into_iter();
    assert_eq!(
        moved,
        expected
            .map(|(name, text)| (name, windows(&text)))
            .collect()
    );
}

fn a_lock_that_fails() {
    let place = Place::new();
    let before = place.files();
    let ran = place.setup("lock", &["--upgrade"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(ran.stdout, "");
    for part in [
        "no solution found",
        "`uv lock` failed",
        "nothing was changed",
    ] {
        assert!(ran.stderr.contains(part), "{part} is not in {ran:?}");
    }
    assert_eq!(place.files(), before);
    place.assert_tidy();
}

fn an_installation_that_fails() {
    let place = Place::new();
    assert_eq!(place.setup("", &[]).code, Some(0));
    fs::write(place.path(".venv/mark"), "old").unwrap();
    let before = place.files();
    let ran = place.setup("sync", &["--upgrade"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.stderr.contains("`uv sync` failed"), "{ran:?}");
    assert_eq!(place.files(), before);
    assert!(place.path(".venv/mark").exists());
    // As if nothing had been tried.
    assert_eq!(place.setup("", &[]).code, Some(0));
    assert!(place.path(".venv/mark").exists());
}

fn what_is_newest_stays() {
    let place = Place::new();
    let before = place.files();
    let ran = place.setup("none", &["--upgrade"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "max 26.7.0 and mojo 1.2.0 stay\n");
    assert_eq!(place.files(), before);
}

fn what_is_named_is_asked_for() {
    for (args, max, mojo) in [
        (&["--max", "26.6.0"][..], "max[serve]==26.6.0", "\"mojo\""),
        (&["--mojo", "1.1.0"], "\"max[serve]\"", "mojo==1.1.0"),
        (
            &["--max", "26.6.0", "--mojo", "1.1.0"],
            "max[serve]==26.6.0",
            "mojo==1.1.0",
        ),
    ] {
        let place = Place::new();
        let ran = place.setup("", &[&["--upgrade"], args].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let asked = &place.asked()[0];
        assert!(asked.contains(max) && asked.contains(mojo), "{asked}");
    }
}

fn pins_that_disagree() {
    let newer = |text: &str| text.replace("26.7.0", "26.8.0");
    for (file, text) in [
        ("mxfp4.toml", newer(SETTINGS)),
        ("python/pyproject.toml", newer(PYPROJECT)),
        ("python/uv.lock", newer(LOCK)),
    ] {
        let place = Place::new();
        // An SDK that was made already is no reason to look away.
        assert_eq!(place.setup("", &[]).code, Some(0));
        fs::write(place.path(file), text).unwrap();
        let ran = place.setup("", &[]);
        assert_eq!(ran.code, Some(3), "{file}: {ran:?}");
        for part in ["max 26.", "mxfp4.toml", "--upgrade"] {
            assert!(ran.stderr.contains(part), "{part} is not in {ran:?}");
        }
        let ran = place.setup("", &["--upgrade"]);
        assert_eq!(ran.code, Some(0), "{file}: {ran:?}");
        for (file, text) in place.files() {
            assert!(
                text.contains("26.8.0") && !text.contains("26.7.0"),
                "{file}: {text}"
            );
        }
        assert_eq!(place.setup("", &[]).code, Some(0));
    }
}

fn wrong_use() {
    let place = Place::new();
    for (args, says) in [
        (&["--max", "26.6.0"][..], "--upgrade"),
        (&["--upgrade", "--max", "newest"], "--max newest"),
        (&["--upgrade", "--mojo", ">=1"], "--mojo >=1"),
    ] {
        let ran = place.setup("", args);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(says), "{ran:?}");
    }
    fs::write(
        place.path("python/pyproject.toml"),
        "[project]\nname = \"x\"\n",
    )
    .unwrap();
    let ran = place.setup("", &["--upgrade"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("does not depend on max"), "{ran:?}");

    let foreign = Place::new();
    fs::create_dir(foreign.path(".venv")).unwrap();
    let before = foreign.files();
    let ran = foreign.setup("", &["--upgrade"]);
    assert_eq!((ran.code, foreign.files()), (Some(4), before), "{ran:?}");
}

/// Down to versions that are named and up again, in a new workspace. An SDK that is named elsewhere keeps gigabytes from
/// being installed.
fn the_real_uv() -> Tested {
    let place = folder([
        ("sdk/modular/bin/mojo", ""),
        ("sdk/modular/lib/mojo/std.mojoc", ""),
    ]);
    let made = run(mxfp4(place.path()).args(["init", "new"]));
    assert_eq!(made.code, Some(0), "{made:?}");
    let root = place.path().join("new");
    let setup = |args: &[&str]| {
        let mut command = mxfp4(&root);
        // How this machine reaches the index is its own matter.
        command.envs(std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy().to_ascii_uppercase();
            name == "PATH" || name.starts_with("SSL_CERT") || name.ends_with("_PROXY")
        }));
        let sdk = place.path().join("sdk");
        run(command
            .env("MXFP4_SDK", sdk)
            .args(["setup", "--upgrade"])
            .args(args))
    };
    let pins = || -> Vec<String> {
        let texts = FILES.map(|file| fs::read_to_string(root.join(file)).unwrap_or_default());
        let [settings, pyproject, lock] = &texts;
        let after = |text: &str, before: &str| {
            let rest = text.split_once(before).map_or("", |(_, rest)| rest);
            rest.split('"').next().unwrap_or_default().to_owned()
        };
        vec![
            after(settings, "\nmax = \""),
            after(pyproject, "\"max[serve]=="),
            after(lock, "\nname = \"max\"\nversion = \""),
        ]
    };
    let down = setup(&["--max", "26.6.0"]);
    let unreachable = ["cannot fetch", "Failed to fetch", "error sending request"];
    if down.code != Some(0) && unreachable.iter().any(|part| down.stderr.contains(part)) {
        let last = down.stderr.lines().last().unwrap_or_default();
        return Ok(Completion::ignored_with(format!(
            "skipped: no package index: {last}"
        )));
    }
    assert_eq!(down.code, Some(0), "{down:?}");
    assert!(down.stdout.contains(" -> 26.6.0\n"), "{down:?}");
    assert!(
        down.stdout.contains("mojo "),
        "Mojo does not follow: {down:?}"
    );
    assert_eq!(pins(), ["26.6.0"; 3]);
    assert!(down.stderr.contains("names another SDK"), "{down:?}");
    let up = setup(&[]);
    assert_eq!(up.code, Some(0), "{up:?}");
    assert!(up.stdout.contains("max 26.6.0 -> "), "{up:?}");
    let found = pins();
    assert!(
        found.iter().all(|pin| *pin == found[0] && pin != "26.6.0"),
        "{found:?}"
    );
    Ok(Completion::Completed)
}
