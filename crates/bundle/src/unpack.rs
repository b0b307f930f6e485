use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use crate::digest::{Hashing, copy};
use crate::format::{ARCHIVE, PIECE, WINDOW_LOG, Watch};
use crate::manifest::{Invalid, VERSION};
use crate::partial::Partial;
use crate::{Digest, Entry, Error, MANIFEST, Manifest, Name, Part, parts};

/// A manifest that is larger is none; that of an SDK has two megabytes.
const LARGEST_MANIFEST: u64 = 256 * 1024 * 1024;

/// What a file takes on a disk is rounded up to this.
const BLOCK: u64 = 4096;

/// A bundle that was found, with all its parts.
#[derive(Clone, Debug)]
pub struct Bundle {
    manifest: Manifest,
    manifest_path: PathBuf,
    /// The files of the parts, in the manifest's order.
    parts: Vec<PathBuf>,
}

impl Bundle {
    /// Finds a bundle: in a folder, or among files, which may lie in several folders.
    pub fn find(places: &[PathBuf]) -> Result<Self, Error> {
        let mut found = Found::default();
        for place in places {
            found.look_at(place)?;
        }
        let Some(manifest_path) = found.manifest else {
            let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
            return Err(Error::NoManifest(places.join(", ")));
        };
        let manifest = read_manifest(&manifest_path)?;
        let mut parts = Vec::new();
        let mut missing = Vec::new();
        for part in &manifest.parts {
            match found.files.remove(OsStr::new(&part.name)) {
                Some(path) => parts.push(path),
                None => missing.push(part.name.clone()),
            }
        }
        if !missing.is_empty() {
            let of = manifest.parts.len();
            return Err(Error::Missing { missing, of });
        }
        if let Some(path) = found.files.into_values().next() {
            return Err(Error::Foreign(path));
        }
        Ok(Self {
            manifest,
            manifest_path,
            parts,
        })
    }

    /// What it consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where its manifest is.
    pub fn manifest_path(&self) -> &Path {
        &self.manifest_path
    }

    /// Reads all parts and compares them with the manifest.
    pub fn verify(&self, watch: Watch<'_>) -> Result<(), Error> {
        for (part, path) in self.manifest.parts.iter().zip(&self.parts) {
            self.verify_part(part, path, watch)?;
        }
        Ok(())
    }

    fn verify_part(&self, part: &Part, path: &Path, watch: Watch<'_>) -> Result<(), Error> {
        let bytes = fs::metadata(path).map_err(Error::file("read", path))?.len();
        let others = || self.manifest.parts.iter().filter(|other| *other != part);
        // A part of no known size needs no reading.
        if bytes != part.bytes && others().all(|other| other.bytes != bytes) {
            return Err(wrong_size(part, path, bytes));
        }
        let sha256 = digest(path, watch)?;
        if sha256 == part.sha256 {
            return Ok(());
        }
        let path = path.to_owned();
        if let Some(other) = others().find(|other| other.sha256 == sha256) {
            let belongs = other.name.clone();
            return Err(Error::Misnamed { path, belongs });
        }
        match bytes == part.bytes {
            true => Err(Error::Damaged { path, sha256 }),
            false => Err(wrong_size(part, &path, bytes)),
        }
    }

    /// Unpacks it to the folder `into`, which is there whole in the end, or not at all. Everything is compared with the
    /// manifest on the way.
    pub fn unpack(&self, into: &Path, watch: Watch<'_>) -> Result<(), Error> {
        let partial = Partial::beside(into)?;
        self.check_room(partial.path())?;
        self.extract(partial.path(), watch)?;
        partial.commit()
    }

    fn check_room(&self, folder: &Path) -> Result<(), Error> {
        let entries = self.manifest.entries.iter();
        let needed = entries.fold(0u64, |sum, entry| {
            let blocks = entry.bytes().div_ceil(BLOCK).max(1);
            sum.saturating_add(blocks.saturating_mul(BLOCK))
        });
        // What cannot be told is found out on the way.
        let Ok(room) = statvfs(folder) else {
            return Ok(());
        };
        let free = room.blocks_available().saturating_mul(room.fragment_size());
        match needed > free {
            true => Err(Error::NoRoom {
                path: folder.parent().unwrap_or(folder).to_owned(),
                needed,
                free,
            }),
            false => Ok(()),
        }
    }

    fn extract(&self, root: &Path, watch: Watch<'_>) -> Result<(), Error> {
        let failed = |error| match Error::file("read", &self.manifest_path)(error) {
            // The parts are what they should be, so this is what was packed.
            Error::File { source, .. } => Error::Archive(source.to_string()),
            ours => ours,
        };
        let reader = BufReader::with_capacity(PIECE, parts::Reader::new(self.parts.clone()));
        let mut decoder = zstd::Decoder::with_buffer(reader).map_err(failed)?;
        decoder.window_log_max(WINDOW_LOG).map_err(failed)?;
        let mut archive = tar::Archive::new(decoder);
        let mut expected = self.manifest.entries.iter();
        for entry in archive.entries().map_err(failed)? {
            let mut entry = entry.map_err(failed)?;
            let Some(expected) = expected.next() else {
                let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                return Err(Error::Archive(format!("{path} is too much")));
            };
            check_entry(&mut entry, expected)?;
            self.make(root, expected, &mut entry, watch)?;
        }
        match expected.next() {
            None => Ok(()),
            Some(missing) => Err(Error::Archive(format!("{} is missing", missing.path()))),
        }
    }

    fn make(
        &self,
        root: &Path,
        entry: &Entry,
        content: &mut impl Read,
        watch: Watch<'_>,
    ) -> Result<(), Error> {
        let path = root.join(entry.path().as_path());
        match entry {
            Entry::Folder { .. } => fs::DirBuilder::new()
                .mode(0o755)
                .create(&path)
                .map_err(Error::file("create", &path)),
            Entry::Link { target, .. } => {
                symlink(OsStr::from_bytes(target), &path).map_err(Error::file("create", &path))
            }
            Entry::File { mode, sha256, .. } => {
                let mut file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(mode.bits())
                    .open(&path)
                    .map(Hashing::new)
                    .map_err(Error::file("create", &path))?;
                copy(content, &mut file, watch).map_err(Error::file("write", &path))?;
                match file.finish() == *sha256 {
                    true => Ok(()),
                    false => {
                        let path = entry.path();
                        Err(Error::Archive(format!("{path} has other content")))
                    }
                }
            }
        }
    }
}

/// Has what the archive holds be what the manifest says, kind, name, size and all, so that nothing but the manifest
/// decides what is made. Hard links and devices are no kinds of a manifest.
fn check_entry(entry: &mut tar::Entry<'_, impl Read>, expected: &Entry) -> Result<(), Error> {
    let path = entry.path_bytes().into_owned();
    let shown = String::from_utf8_lossy(&path).into_owned();
    let refuse = |why: String| Err(Error::Archive(why));
    // A folder's name may end in a slash.
    let name = match Name::from_bytes(path.strip_suffix(b"/").unwrap_or(&path)) {
        Ok(name) => name,
        Err(why) => return refuse(format!("the path {shown:?} {why}")),
    };
    if name != *expected.path() {
        return refuse(format!("{shown} comes where {} belongs", expected.path()));
    }
    let kind = entry.header().entry_type();
    match expected {
        Entry::Folder { .. } if kind.is_dir() => Ok(()),
        Entry::File { bytes, .. } if kind.is_file() => match entry.size() {
            size if size == *bytes => Ok(()),
            size => refuse(format!("{shown} has {size} bytes instead of {bytes}")),
        },
        Entry::Link { target, .. } if kind.is_symlink() => {
            match entry
                .link_name_bytes()
                .is_some_and(|found| *found == target[..])
            {
                true => Ok(()),
                false => refuse(format!("the link {shown} has another target")),
            }
        }
        _ => refuse(format!("{shown} is of another kind ({kind:?})")),
    }
}

/// Files that may belong to a bundle, by their names.
#[derive(Default)]
struct Found {
    manifest: Option<PathBuf>,
    files: BTreeMap<std::ffi::OsString, PathBuf>,
}

impl Found {
    fn look_at(&mut self, place: &Path) -> Result<(), Error> {
        let metadata = fs::metadata(place).map_err(Error::file("read", place))?;
        if !metadata.is_dir() {
            return self.add(place.to_owned());
        }
        let entries = fs::read_dir(place).map_err(Error::file("read", place))?;
        for entry in entries {
            let entry = entry.map_err(Error::file("read", place))?;
            let name = entry.file_name();
            // Other files of a folder are nobody's business.
            if name == MANIFEST || name.as_bytes().starts_with(ARCHIVE.as_bytes()) {
                self.add(entry.path())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: PathBuf) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_owned();
        let before = match name == MANIFEST {
            true => self.manifest.replace(path.clone()),
            false => self.files.insert(name, path.clone()),
        };
        match before {
            Some(before) if !same_file(&before, &path) => Err(Error::Twice(before, path)),
            _ => Ok(()),
        }
    }
}

/// The same file under two names is named twice and there once.
fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, Error> {
    let failed = |error| Error::file("read", path)(error);
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST_MANIFEST)
        .read_to_end(&mut text)
        .map_err(failed)?;
    Manifest::parse(&text).map_err(|error| match error {
        Invalid::Version(version) => Error::Version {
            path: path.to_owned(),
            version,
            known: VERSION,
        },
        Invalid::Wrong(why) => Error::Manifest {
            path: path.to_owned(),
            why,
        },
    })
}

fn wrong_size(part: &Part, path: &Path, bytes: u64) -> Error {
    let path = path.to_owned();
    let expected = part.bytes;
    match bytes < expected {
        true => Error::Truncated {
            path,
            bytes,
            expected,
        },
        false => Error::TooLong {
            path,
            bytes,
            expected,
        },
    }
}

fn digest(path: &Path, watch: Watch<'_>) -> Result<Digest, Error> {
    let mut file = File::open(path).map_err(Error::file("read", path))?;
    let mut hashing = Hashing::new(io::sink());
    copy(&mut file, &mut hashing, watch).map_err(Error::file("read", path))?;
    Ok(hashing.finish())
}
