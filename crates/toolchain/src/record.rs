use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{Error, files};

/// A file whose last change is younger than this when it is looked at may be
/// changed again without its times showing it.
const TIME_GRAIN: Duration = Duration::from_millis(100);

/// What a kernel package was made from, kept beside it. Losing it costs a
/// rebuild and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The compiler and the folder of its own packages.
    tools: Vec<(PathBuf, Stamp)>,
    /// The command line, the output's name excepted.
    arguments: Vec<String>,
    /// The sources.
    sources: BTreeMap<PathBuf, Source>,
    /// The package as it was made; `None` before that.
    output: Option<Stamp>,
}

/// What tells a file from what it was, short of reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    inode: u64,
    modified: (i64, i64),
    /// Unlike the time of modification no program can set it.
    changed: (i64, i64),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    /// Absent when the file was so young that its stamp proves nothing.
    stamp: Option<Stamp>,
    hash: String,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn of_path(path: &Path) -> Result<Self, Error> {
        let metadata = fs::metadata(path).map_err(Error::file("read", path))?;
        Ok(Self::of(&metadata))
    }

    /// Of a file that uv links from its cache: a further link, for another
    /// workspace, is a change to the file system and none to us.
    fn of_linked(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            changed: (0, 0),
            ..Self::of_path(path)?
        })
    }

    fn settled(&self, now: SystemTime) -> bool {
        let changed = UNIX_EPOCH
            + Duration::new(
                self.changed.0.max(0).unsigned_abs(),
                u32::try_from(self.changed.1).unwrap_or(0),
            );
        now.duration_since(changed)
            .is_ok_and(|age| age >= TIME_GRAIN)
    }
}

impl Record {
    /// Looks at what a package would be made from now. What `old` knows of a
    /// file that was not touched since is believed, the rest is read.
    pub(crate) fn look(
        tools: &[PathBuf],
        arguments: Vec<String>,
        folders: &[PathBuf],
        old: Option<&Self>,
    ) -> Result<Self, Error> {
        let now = SystemTime::now();
        let mut sources = BTreeMap::new();
        for folder in folders {
            collect(folder, &mut |path, metadata| {
                let stamp = Stamp::of(metadata);
                let known = old
                    .and_then(|old| old.sources.get(&path))
                    .filter(|source| source.stamp == Some(stamp));
                let source = match known {
                    Some(source) => source.clone(),
                    None => Source {
                        stamp: stamp.settled(now).then_some(stamp),
                        hash: hash(&path)?,
                    },
                };
                sources.insert(path, source);
                Ok(())
            })?;
        }
        let stamped = |tool: &PathBuf| Ok((tool.clone(), Stamp::of_linked(tool)?));
        Ok(Self {
            tools: tools.iter().map(stamped).collect::<Result<_, Error>>()?,
            arguments,
            sources,
            output: None,
        })
    }

    /// Whether the two packages are made from the same, by the same, in the
    /// same way.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.tools == other.tools
            && self.arguments == other.arguments
            && self.sources.len() == other.sources.len()
            && self
                .sources
                .iter()
                .zip(&other.sources)
                .all(|((path, ours), (others, theirs))| path == others && ours.hash == theirs.hash)
    }

    /// Whether the package at `path` is the one that this tells of.
    pub(crate) fn tells_of(&self, path: &Path) -> bool {
        self.output.is_some() && Stamp::of_path(path).ok() == self.output
    }

    /// This record, telling of the package at `path`.
    pub(crate) fn with_output(self, path: &Path) -> Result<Self, Error> {
        Ok(Self {
            output: Some(Stamp::of_path(path)?),
            ..self
        })
    }

    /// The output that `other` tells of, these being its sources.
    pub(crate) fn with_output_of(self, other: &Self) -> Self {
        Self {
            output: other.output,
            ..self
        }
    }

    /// Reads the record at `path`; none that makes sense is none.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        files::write(path, &serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Calls `found` for every Mojo source below `folder`.
fn collect(
    folder: &Path,
    found: &mut dyn FnMut(PathBuf, &Metadata) -> Result<(), Error>,
) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(Error::file("read", folder))?;
    for entry in entries {
        let path = entry.map_err(Error::file("read", folder))?.path();
        let is_source = path
            .extension()
            .is_some_and(|extension| extension == "mojo" || extension == "🔥");
        // Follows links, as the compiler does; a dangling one is not for it.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            if !path.is_symlink() {
                collect(&path, found)?;
            }
        } else if is_source {
            found(path, &metadata)?;
        }
    }
    Ok(())
}

fn hash(path: &Path) -> Result<String, Error> {
    let content = fs::read(path).map_err(Error::file("read", path))?;
    Ok(blake3::hash(&content).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("src/sub")).unwrap();
            let place = Self { folder };
            place.write("mojo", "compiler");
            place.write("src/a.mojo", "one");
            place.write("src/sub/b.mojo", "two");
            place.write("src/README.md", "not a source");
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, content: &str) {
            fs::write(self.path(name), content).unwrap();
        }

        fn look(&self, old: Option<&Record>) -> Record {
            let arguments = vec!["-O".to_owned()];
            Record::look(&[self.path("mojo")], arguments, &[self.path("src")], old).unwrap()
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
        assert_eq!(old.sources.len(), 2);
        // A hash that no content has shows who was believed.
        let mut old = old;
        for source in old.sources.values_mut() {
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
        assert!(old.sources.values().all(|source| source.stamp.is_none()));
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
        let flags = vec!["-O0".to_owned()];
        let new = Record::look(&[place.path("mojo")], flags, &[place.path("src")], None).unwrap();
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
        assert_eq!(Record::read(&place.path("record")), Some(record));
        place.write("record", "{\"tools\":");
        assert_eq!(Record::read(&place.path("record")), None);
    }
}
