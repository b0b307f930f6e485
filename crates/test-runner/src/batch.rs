//! Which Python tests share a process.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A test as pytest has collected it, with what its marker `job` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Collected {
    /// pytest's name of it.
    pub id: String,
    /// Whether it needs a GPU.
    pub gpu: bool,
    /// The module's file.
    #[serde(default, deserialize_with = "path_of_bytes")]
    pub file: PathBuf,
    /// It takes long, and is to begin early.
    #[serde(default)]
    pub first: bool,
    /// It has nothing to share with others of its module.
    #[serde(default)]
    pub apart: bool,
}

/// A path as the plugin tells it, a byte in each character: JSON holds text only, which a path need not be.
pub fn path_of_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let text = String::deserialize(from)?;
    let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    bytes
        .map(|bytes| OsString::from_vec(bytes).into())
        .map_err(|_| D::Error::custom("a character of a path is no byte"))
}

/// Tests for one process of pytest.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// pytest's names of them.
    pub ids: Vec<String>,
    /// Their modules' files.
    pub files: BTreeSet<PathBuf>,
    /// The folder at which their names begin.
    pub root: PathBuf,
    /// Whether it is to begin early.
    pub first: bool,
}

/// What the tests of a process have in common.
#[derive(PartialEq, Eq)]
enum Key {
    Test(String),
    File(PathBuf),
}

/// Puts the tests into batches for so many jobs: one for each module that takes long, and as many as there are jobs for
/// the others, since each process has to import MAX. A module is never divided, unless its tests say that they are
/// `apart`; without a GPU those that need one are not worth a process.
pub fn batches(collected: Vec<Collected>, root: &Path, jobs: usize, gpu: bool) -> Vec<Batch> {
    let mut groups: Vec<(Key, Vec<Collected>)> = Vec::new();
    for test in collected {
        let key = key(&test, gpu);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, tests)) => tests.push(test),
            None => groups.push((key, vec![test])),
        }
    }
    let (own, shared): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(key, tests)| {
        matches!(key, Key::Test(_)) || tests.iter().any(|test| takes_long(test, gpu))
    });
    let mut dealt: Vec<Vec<Collected>> = Vec::new();
    for (number, (_, tests)) in shared.into_iter().enumerate() {
        match dealt.get_mut(number % jobs) {
            Some(hand) => hand.extend(tests),
            None => dealt.push(tests),
        }
    }
    let own = own.into_iter().map(|(_, tests)| tests);
    own.chain(dealt)
        .map(|tests| Batch {
            first: tests.iter().any(|test| takes_long(test, gpu)),
            root: root.to_owned(),
            files: tests.iter().map(|test| test.file.clone()).collect(),
            ids: tests.into_iter().map(|test| test.id).collect(),
        })
        .collect()
}

/// What is skipped takes no time.
fn takes_long(test: &Collected, gpu: bool) -> bool {
    test.first && (gpu || !test.gpu)
}

fn key(test: &Collected, gpu: bool) -> Key {
    match test.apart && (gpu || !test.gpu) {
        true => Key::Test(test.id.clone()),
        false => Key::File(test.file.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(id: &str) -> Collected {
        Collected {
            id: id.to_owned(),
            gpu: id.contains("gpu"),
            file: id.split("::").next().unwrap().into(),
            first: false,
            apart: false,
        }
    }

    fn deal(tests: Vec<Collected>, jobs: usize, gpu: bool) -> Vec<Batch> {
        batches(tests, Path::new("/w"), jobs, gpu)
    }

    fn ids(batches: &[Batch]) -> Vec<&[String]> {
        batches.iter().map(|batch| &batch.ids[..]).collect()
    }

    #[test]
    fn modules_are_dealt_whole() {
        let tests = || ["a::1", "b::1", "a::2", "c::1", "d::1"].map(test).to_vec();
        assert_eq!(
            ids(&deal(tests(), 2, false)),
            [vec!["a::1", "a::2", "c::1"], vec!["b::1", "d::1"]]
        );
        assert_eq!(deal(tests(), 1, false).len(), 1);
        assert_eq!(deal(tests(), 9, false).len(), 4);
        let files = &deal(tests(), 2, false)[1].files;
        assert_eq!(*files, BTreeSet::from(["b".into(), "d".into()]));
        assert!(deal(Vec::new(), 3, false).is_empty());
    }

    #[test]
    fn a_long_module_has_a_process() {
        let mut tests = ["a::1", "b::1", "b::2", "c::1"].map(test).to_vec();
        tests[2].first = true;
        let batches = deal(tests, 1, false);
        assert_eq!(ids(&batches), [vec!["b::1", "b::2"], vec!["a::1", "c::1"]]);
        assert!(batches[0].first && !batches[1].first);
    }

    #[test]
    fn tests_apart_have_a_process_each_where_they_run() {
        let mut tests = ["a::1", "a::gpu1", "a::gpu2", "b::1"].map(test).to_vec();
        for test in &mut tests[..3] {
            (test.first, test.apart) = (true, true);
        }
        let run = |gpu| deal(tests.clone(), 1, gpu);
        assert_eq!(
            ids(&run(true)),
            [vec!["a::1"], vec!["a::gpu1"], vec!["a::gpu2"], vec!["b::1"]]
        );
        let without = run(false);
        assert_eq!(
            ids(&without),
            [vec!["a::1"], vec!["a::gpu1", "a::gpu2", "b::1"]]
        );
        assert!(without[0].first && !without[1].first);
    }
}
