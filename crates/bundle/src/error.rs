use std::io;
use std::path::{Path, PathBuf};

use crate::{Digest, MANIFEST};

/// Why a bundle could not be made or unpacked. Nothing is left of either then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is something at the place where the result belongs.
    #[error("{} is there already and is not an empty folder; remove it, or name another", .0.display())]
    Exists(PathBuf),
    /// No manifest among what was given.
    #[error(
        "there is no bundle in {0}: {MANIFEST} is not there; name the folder or the files of one"
    )]
    NoManifest(String),
    /// The manifest is not one.
    #[error("{} is damaged or no bundle's manifest: {why}; copy it again", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The manifest is of a later version of the format.
    #[error("{} has version {version} of the format, and this program reads up to {known}; use the mxfp4 that lies beside it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The format's version.
        version: u64,
        /// The version that is known here.
        known: u64,
    },
    /// Two manifests, or two files for one part.
    #[error("{} and {} cannot both belong to the bundle; name the files of one", .0.display(), .1.display())]
    Twice(PathBuf, PathBuf),
    /// Parts that are not among what was given.
    #[error("{} missing of {of} parts: {}; copy what is missing beside the others", count(.missing.len()), .missing.join(", "))]
    Missing {
        /// Their names.
        missing: Vec<String>,
        /// How many there are to be.
        of: usize,
    },
    /// A file that is none of the bundle's parts.
    #[error("{} is no part of this bundle; it belongs to another one, take it away", .0.display())]
    Foreign(PathBuf),
    /// A part that is shorter than it should be.
    #[error("{} is truncated: {bytes} of {expected} bytes are there; copy it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// What the manifest says.
        expected: u64,
    },
    /// A part that is longer than it should be.
    #[error("{} is too long: {bytes} bytes instead of {expected}; copy it again", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// What the manifest says.
        expected: u64,
    },
    /// A part under the name of another.
    #[error("{} holds what belongs into {belongs}: the parts were renamed; give them their names back", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// The part that it is.
        belongs: String,
    },
    /// A part with other content than it should have.
    #[error("{} is damaged, or a part of another bundle (its SHA-256 is {sha256}); copy it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it has instead of what the manifest says.
        sha256: Digest,
    },
    /// An archive that does not hold what the manifest says.
    #[error("the archive does not hold what {MANIFEST} says: {0}; make the bundle again")]
    Archive(String),
    /// What cannot be put into a bundle.
    #[error("{} cannot be bundled: {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A file changed while it was read.
    #[error("{} changed while it was read; try again when nothing writes there", .0.display())]
    Changed(PathBuf),
    /// More parts than can be numbered.
    #[error("the archive has more than {0} parts; give --split a larger size")]
    TooManyParts(usize),
    /// No room on the disk.
    #[error("the disk of {} is full; free some space, or use another one", .0.display())]
    Full(PathBuf),
    /// Not enough room on the disk, as far as can be told before.
    #[error("the disk of {} has {} free, and {} are needed; free some space, or use another one", path.display(), megabytes(*.free), megabytes(*.needed))]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// How many bytes are needed.
        needed: u64,
        /// How many bytes there are.
        free: u64,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

fn count(missing: usize) -> String {
    match missing {
        1 => "1 is".to_owned(),
        more => format!("{more} are"),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

impl Error {
    /// For `map_err`: the failure to do `action` to `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            // What goes through a library as its own error comes out as ours.
            _ => match source.downcast::<Self>() {
                Ok(ours) => ours,
                Err(source) => Self::File {
                    action,
                    path,
                    source,
                },
            },
        }
    }

    /// It as a library's reader or writer has to return it.
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}
