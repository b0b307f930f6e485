use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mxfp4_fs::Stamp;
use serde::{Deserialize, Serialize};

use crate::{Error, files};

/// What a kernel package was made from, kept beside it. Losing it costs a
/// rebuild and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BuildFingerprint {
    /// The command line, the output's name excepted.
    arguments: Vec<String>,
    /// Where the compiler looked for what is imported, in its order.
    import_path: Vec<String>,
    /// Everything that it could read, itself too.
    inputs: BTreeMap<String, Input>,
    /// The package as it was made; `None` before that.
    output: Option<Output>,
}

/// A package as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Output {
    stamp: Stamp,
    hash: String,
}

/// A file that a compiler can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    /// Absent when the file was so young that its stamp proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<Stamp>,
    hash: String,
    /// The names that it may import.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    imports: BTreeSet<String>,
}

fn stamp_of(path: &Path) -> Result<Stamp, Error> {
    let metadata = fs::metadata(path).map_err(Error::file("read", path))?;
    Ok(Stamp::of(&metadata))
}

impl Input {
    /// One that had `stamp` before it was read, and that later than `begin`.
    pub(crate) fn new(
        stamp: Stamp,
        begin: SystemTime,
        hash: blake3::Hash,
        imports: BTreeSet<String>,
    ) -> Self {
        Self {
            stamp: stamp.is_settled(begin).then_some(stamp),
            hash: hash.to_hex().to_string(),
            imports,
        }
    }

    /// A folder that was come to before, as `first`.
    pub(crate) fn another_name_of(first: &Path) -> Self {
        Self {
            stamp: None,
            hash: key(first),
            imports: BTreeSet::new(),
        }
    }

    /// Whether a file that has `stamp` now is the one that this tells of.
    pub(crate) fn is_as(&self, stamp: Stamp) -> bool {
        self.stamp == Some(stamp)
    }

    pub(crate) fn imports(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().map(String::as_str)
    }
}

/// A path as it is written in a record, which is text.
fn key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl BuildFingerprint {
    /// What something is made from.
    pub(crate) fn new(
        arguments: Vec<String>,
        import_path: &[PathBuf],
        inputs: BTreeMap<PathBuf, Input>,
    ) -> Self {
        Self {
            arguments,
            import_path: import_path.iter().map(|path| key(path)).collect(),
            inputs: inputs
                .into_iter()
                .map(|(path, input)| (key(&path), input))
                .collect(),
            output: None,
        }
    }

    /// What is known of a file.
    pub(crate) fn input(&self, path: &Path) -> Option<&Input> {
        self.inputs.get(&*path.to_string_lossy())
    }

    /// Whether the two packages are made from the same, by the same, in the
    /// same way.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.arguments == other.arguments
            && self.import_path == other.import_path
            && self.inputs.len() == other.inputs.len()
            && self
                .inputs
                .iter()
                .zip(&other.inputs)
                .all(|((path, ours), (others, theirs))| path == others && ours.hash == theirs.hash)
    }

    /// Whether the package at `path` is the one that this tells of: untouched, or a copy of it.
    pub(crate) fn tells_of(&self, path: &Path) -> bool {
        self.output.as_ref().is_some_and(|output| {
            stamp_of(path).is_ok_and(|stamp| stamp == output.stamp)
                || files::hash(path).is_ok_and(|hash| *hash.to_hex() == *output.hash)
        })
    }

    /// This record, telling of the package at `path`.
    pub(crate) fn with_output(self, path: &Path) -> Result<Self, Error> {
        let output = Output {
            stamp: stamp_of(path)?,
            hash: files::hash(path)?.to_hex().to_string(),
        };
        Ok(Self {
            output: Some(output),
            ..self
        })
    }

    /// This record, telling of the package at `path`, which `old` tells of.
    pub(crate) fn with_output_of(self, old: &Self, path: &Path) -> Result<Self, Error> {
        let mut output = old.output.clone();
        if let Some(output) = &mut output {
            output.stamp = stamp_of(path)?;
        }
        Ok(Self { output, ..self })
    }

    /// Reads the record at `path`; none that makes sense is none.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        files::write(path, &serde_json::to_vec(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use mxfp4_fs::TIME_GRAIN;

    use super::*;
    use crate::inputs::{Inputs, Seen};

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["src/sub", "library"] {
                fs::create_dir_all(folder.path().join(name)).unwrap();
            }
            let place = Self { folder };
            place.write("mojo", "compiler");
            place.write("src/a.mojo", "one");
            place.write("src/sub/b.mojo", "two");
            place.write("src/README.md", "not a source");
            place.write("library/std.mojoc", "library");
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, content: &str) {
            fs::write(self.path(name), content).unwrap();
        }

        fn inputs(&self, flag: &str) -> Inputs {
            Inputs {
                arguments: vec![flag.to_owned()],
                source: self.path("src"),
                import_path: vec![self.path("."), self.path("library")],
                tools: vec![self.path("mojo")],
                shared: BTreeSet::from([self.path(".")]),
                lib_mojo: self.path("library"),
                outputs: vec![self.path("package.mojoc")],
            }
        }

        fn look(&self, old: Option<&BuildFingerprint>) -> BuildFingerprint {
            self.inputs("-O").look(old, &Seen::default()).unwrap()
        }

        fn age(&self) {
            std::thread::sleep(TIME_GRAIN * 2);
        }
    }

    #[test]
    fn what_was_not_touched_is_not_read_again() {
        let place = Place::new();
        place.age();
        let old = place.look(None);
        let sources = old.inputs.keys().filter(|path| path.ends_with(".mojo"));
        assert_eq!(sources.count(), 2);
        // A hash that no content has shows who was believed.
        let mut old = old;
        for source in old.inputs.values_mut() {
            source.hash = "believed".to_owned();
        }
        assert!(place.look(Some(&old)).agrees_with(&old));
        place.write("src/a.mojo", "one");
        assert!(!place.look(Some(&old)).agrees_with(&old));
    }

    #[test]
    fn a_young_file_is_read_again() {
        let place = Place::new();
        let old = place.look(None);
        assert!(old.inputs.values().all(|source| source.stamp.is_none()));
        place.write("src/a.mojo", "six");
        assert!(!place.look(Some(&old)).agrees_with(&old));
    }

    #[test]
    fn every_change_shows() {
        type Change = fn(&Place);
        let changes: [(&str, Change, bool); 7] = [
            ("nothing", |_| {}, true),
            ("rewritten alike", |p| p.write("src/a.mojo", "one"), true),
            ("a note", |p| p.write("src/README.md", "x"), true),
            ("content", |p| p.write("src/sub/b.mojo", "owt"), false),
            ("a new file", |p| p.write("src/c.mojo", ""), false),
            (
                "a new name",
                |p| fs::rename(p.path("src/a.mojo"), p.path("src/d.mojo")).unwrap(),
                false,
            ),
            ("the compiler", |p| p.write("mojo", "retmocmp"), false),
        ];
        for (name, change, same) in changes {
            let place = Place::new();
            place.age();
            let old = place.look(None);
            change(&place);
            assert_eq!(place.look(Some(&old)).agrees_with(&old), same, "{name}");
        }
        let place = Place::new();
        let old = place.look(None);
        let new = place.inputs("-O0").look(None, &Seen::default()).unwrap();
        assert!(!new.agrees_with(&old));
    }

    #[test]
    fn another_package_in_its_place_shows() {
        let place = Place::new();
        place.write("package", "made");
        let record = place
            .look(None)
            .with_output(&place.path("package"))
            .unwrap();
        assert!(record.tells_of(&place.path("package")));
        fs::copy(place.path("package"), place.path("copy")).unwrap();
        assert!(record.tells_of(&place.path("copy")));
        place.write("package", "fake");
        assert!(!record.tells_of(&place.path("package")));
        assert!(!record.tells_of(&place.path("gone")));
    }

    #[test]
    fn a_record_survives_its_file_and_nonsense_is_none() {
        let place = Place::new();
        place.age();
        let record = place.look(None);
        record.write(&place.path("record")).unwrap();
        assert_eq!(BuildFingerprint::read(&place.path("record")), Some(record));
        place.write("record", "{\"tools\":");
        assert_eq!(BuildFingerprint::read(&place.path("record")), None);
    }
}
