//! A bundle, and the workspace that it unpacks to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::faults::Subject;
use crate::support::carry::Place;
use crate::support::{Ran, run};
use crate::tree::{Tree, compare, tree};

/// What both make, in the place.
const MADE: &str = "made";
/// How the note of an unpacked workspace's file times begins while it is written.
const HALF: &str = "build/.tiny.json.partial-";

/// A small workspace is packed.
pub struct Create {
    place: Place,
    expected: Option<Tree>,
}

/// A bundle of it is unpacked.
pub struct Unpack {
    place: Place,
    expected: Option<Tree>,
}

impl Create {
    /// Packs nothing yet.
    pub fn new() -> Self {
        Self {
            place: Place::new(),
            expected: None,
        }
    }
}

impl Unpack {
    /// Packs what is unpacked.
    pub fn new() -> Self {
        let place = Place::new();
        let ran = run(&mut create(&place, "bundle"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        Self {
            place,
            expected: None,
        }
    }
}

fn create(place: &Place, output: &str) -> Command {
    let output = place.path(output);
    let mut command = place.mxfp4(&["bundle", "create", "--sdk", "../sdk", "--split", "4M"]);
    command.arg("--output").arg(output);
    command
}

/// Makes room, but for an empty folder in odd rounds: that may be replaced.
fn clear(place: &Place, round: usize) {
    let made = place.path(MADE);
    if made.exists() {
        fs::remove_dir_all(&made).expect("it can be removed");
    }
    if round % 2 == 1 {
        fs::create_dir(&made).expect("it can be made");
    }
}

/// What is in `made`, but for what an unpacked workspace notes of its own files' times.
fn content(made: &Path) -> Tree {
    let mut found = tree(made);
    found.remove(Path::new("build/.tiny.json"));
    found
}

/// Whether that note was begun and not finished, which is after the workspace is whole.
fn half_written(made: &Path) -> bool {
    made.exists() && tree(made).keys().any(|path| is_half(path))
}

fn is_half(path: &Path) -> bool {
    path.to_string_lossy().starts_with(HALF)
}

/// What is there after a kill is all of it or nothing. All of it is taken away, for the next run refuses to replace it.
fn all_or_nothing(made: &Path, expected: Option<&Tree>) -> Result<(), String> {
    let found = match made.exists() {
        true => content(made),
        false => Tree::new(),
    };
    if found.is_empty() {
        return Ok(());
    }
    fs::remove_dir_all(made).expect("it can be removed");
    compare(MADE, &found, expected.unwrap_or(&Tree::new()))
}

/// It is the same as the first time, and alone.
fn check(place: &Place, expected: &mut Option<Tree>, beside: &[&str]) -> Result<(), String> {
    let found = content(&place.path(MADE));
    compare(MADE, &found, expected.get_or_insert_with(|| found.clone()))?;
    match place.leftovers(beside).as_slice() {
        [] => Ok(()),
        left => Err(format!("left behind: {left:?}")),
    }
}

impl Subject for Create {
    fn prepare(&mut self, round: usize) {
        clear(&self.place, round);
    }

    fn command(&self) -> Command {
        create(&self.place, MADE)
    }

    fn after_kill(&mut self, _round: usize) -> Result<(), String> {
        all_or_nothing(&self.place.path(MADE), self.expected.as_ref())
    }

    fn whole(&mut self, _round: usize, _ran: &Ran) -> Result<(), String> {
        check(&self.place, &mut self.expected, &[MADE])
    }
}

impl Subject for Unpack {
    fn prepare(&mut self, round: usize) {
        clear(&self.place, round);
    }

    fn command(&self) -> Command {
        let made: PathBuf = self.place.path(MADE);
        let program = self.place.path("bundle/mxfp4");
        let args = [
            "bundle",
            "unpack",
            "--into",
            made.to_str().expect("it is a plain path"),
        ];
        self.place.on(&program, self.place.folder.path(), &args)
    }

    fn after_kill(&mut self, _round: usize) -> Result<(), String> {
        let made = self.place.path(MADE);
        if half_written(&made) {
            // The workspace is whole then, and the next build, which compiles for want of the note, removes it.
            let mut found = content(&made);
            found.retain(|path, _| !is_half(path));
            compare(MADE, &found, self.expected.as_ref().unwrap_or(&Tree::new()))?;
            let ran = run(&mut self.place.in_workspace(MADE, &["build", "--no-setup"]));
            if ran.code != Some(0) || half_written(&made) {
                return Err(format!(
                    "the next build leaves a half-written note: {ran:?}"
                ));
            }
            fs::remove_dir_all(&made).expect("it can be removed");
        }
        all_or_nothing(&made, self.expected.as_ref())
    }

    fn whole(&mut self, _round: usize, _ran: &Ran) -> Result<(), String> {
        check(&self.place, &mut self.expected, &[MADE, "bundle"])?;
        let ran = run(&mut self.place.in_workspace(MADE, &["build", "--no-setup"]));
        match ran.code {
            Some(0) if !ran.stderr.contains("compiling") => Ok(()),
            _ => Err(format!("the carried package is not used: {ran:?}")),
        }
    }
}
