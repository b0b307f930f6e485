use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use mxfp4_env::{Ambient, config};

use crate::exit::{Exit, Failure};

/// More than any configuration needs: what is larger is none.
const LARGEST: u64 = 1 << 20;

/// What is allowed of a workspace: its folder, and the content of its `mxfp4.toml`.
pub struct Fingerprint {
    /// The root without symlinks.
    pub root: PathBuf,
    /// The bytes of `mxfp4.toml`; `None` where a Modular checkout has none.
    pub config: Option<Vec<u8>>,
}

impl Fingerprint {
    /// Reads that of the workspace at `root`.
    pub fn of(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let path = root.join(config::FILE);
        let config = match path.metadata() {
            // Whoever opens a pipe waits for its other end.
            Ok(metadata) if !metadata.is_file() => {
                return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"));
            }
            Ok(_) => {
                let mut bytes = Vec::new();
                File::open(path)?
                    .take(LARGEST + 1)
                    .read_to_end(&mut bytes)?;
                if bytes.len() as u64 > LARGEST {
                    return Err(io::Error::new(
                        ErrorKind::FileTooLarge,
                        "it is larger than 1 MiB",
                    ));
                }
                Some(bytes)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { root, config })
    }

    /// The hash of the content. That of no file is not that of an empty one.
    fn config_hash(&self) -> String {
        match &self.config {
            Some(bytes) => blake3::hash(bytes).to_string(),
            None => "none".into(),
        }
    }
}

/// The workspaces that the user has allowed: a folder for each root, and in it a
/// file for each content of `mxfp4.toml`.
pub struct Allowed {
    folder: PathBuf,
}

impl Allowed {
    /// That of the user: `$XDG_STATE_HOME/mxfp4/allowed`, or the same below
    /// `~/.local/state`.
    pub fn of(ambient: &Ambient) -> Result<Self, Failure> {
        let state = crate::state::folder(ambient)
            .ok_or_else(|| {
                Failure::new(
                    Exit::Failed,
                    "cannot tell which workspaces are allowed: neither XDG_STATE_HOME nor HOME is set to an absolute \
                     path; set one",
                )
            })?;
        Ok(Self {
            folder: state.join("allowed"),
        })
    }

    /// Where it is kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn folder_of(&self, root: &Path) -> PathBuf {
        self.folder.join(hash_of(root))
    }

    /// The file that is there where this is allowed.
    pub fn file_of(&self, print: &Fingerprint) -> PathBuf {
        self.folder_of(&print.root).join(print.config_hash())
    }

    /// Whether this root is allowed with any content.
    pub fn knows(&self, print: &Fingerprint) -> bool {
        self.folder_of(&print.root).is_dir()
    }

    /// Allows it.
    pub fn add(&self, print: &Fingerprint) -> io::Result<()> {
        let folder = self.folder_of(&print.root);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        // For people: the names are hashes.
        let mut root = print.root.as_os_str().as_bytes().to_vec();
        root.push(b'\n');
        File::create(self.file_of(print))?.write_all(&root)
    }

    /// Allows no content at this root any more. Says whether one was allowed.
    pub fn remove(&self, root: &Path) -> io::Result<bool> {
        match fs::remove_dir_all(self.folder_of(root)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn hash_of(root: &Path) -> String {
    blake3::hash(root.as_os_str().as_bytes()).to_string()
}
