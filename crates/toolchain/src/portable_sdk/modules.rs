//! The Mojo modules that Python packages import, as MAX 26.7's importer (`mojo/importer.py`) finds and names them. For
//! one that names them otherwise these are no files of its own: it then compiles, as it would without them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use mxfp4_env::Sdk;
use mxfp4_process::Command;
use sha2::{Digest, Sha256};

use crate::{Error, files};

/// Beside a module's source: what was compiled of it.
pub(super) const CACHE: &str = "__mojocache__";

/// What every host of a Hopper GPU has. The importer's own choice is the machine it runs on.
const CPU: &str = "x86-64-v3";

/// The source of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    site: PathBuf,
    /// Its folder, in the SDK's.
    folder: PathBuf,
    /// Its name.
    pub(super) stem: OsString,
    hash: String,
}

impl Source {
    pub(super) fn path(&self) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(".mojo");
        self.site.join(&self.folder).join(name)
    }

    /// Where the importer looks for what was compiled of it.
    pub(super) fn place(&self) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(format!(".hash-{}.so", self.hash));
        self.folder.join(CACHE).join(name)
    }

    /// What compiles it to `output`.
    pub(super) fn compile(&self, sdk: &Sdk, output: &Path) -> Command {
        let up = "../".repeat(self.place().components().count() - 1);
        Command::new(sdk.mojo())
            .arg("build")
            .arg(self.path())
            .args(["--emit", "shared-lib", "--target-cpu", CPU])
            // The libraries are looked for where the SDK will be.
            .args(["-Xlinker", &format!("-rpath=$ORIGIN/{up}modular/lib")])
            .arg("-o")
            .arg(output)
    }
}

/// The modules below `site`: Mojo sources in a Python package.
pub(super) fn find(site: &Path) -> Result<Vec<Source>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let mut stems = Vec::new();
        let names = files::names(&site.join(&folder))?;
        for name in &names {
            let path = folder.join(name);
            let full = site.join(&path);
            if full.is_symlink() || path == Path::new("modular") || name == CACHE {
                continue;
            }
            if full.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "mojo")
            {
                stems.extend(path.file_stem().map(ToOwned::to_owned));
            }
        }
        let has = |name: &str| names.iter().any(|other| other == name);
        // One with an `__init__.mojo` is a package of Mojo's.
        if stems.is_empty() || !has("__init__.py") || has("__init__.mojo") {
            continue;
        }
        let hash = hash(&site.join(&folder))?;
        found.extend(stems.into_iter().map(|stem| Source {
            site: site.to_owned(),
            folder: folder.clone(),
            stem,
            hash: hash.clone(),
        }));
    }
    found.sort_by(|one, other| one.folder.cmp(&other.folder));
    Ok(found)
}

/// The hash of all sources below `folder`, with their names, as the importer has it.
fn hash(folder: &Path) -> Result<String, Error> {
    let mut sources = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for name in files::names(&folder.join(&inner))? {
            let path = inner.join(name);
            if folder.join(&path).is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "mojo")
            {
                sources.push(path);
            }
        }
    }
    sources.sort();
    let mut hasher = Sha256::new();
    for source in sources {
        let path = folder.join(&source);
        hasher.update(source.as_os_str().as_encoded_bytes());
        hasher.update(fs::read(&path).map_err(Error::file("read", &path))?);
    }
    let digest = hasher.finalize();
    Ok(digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_and_named_as_the_importer_does() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path();
        for (name, text) in [
            ("max/ops/__init__.py", ""),
            ("max/ops/a.mojo", "one"),
            ("max/ops/a/b.mojo", "two"),
            ("max/ops/__mojocache__/a.hash-0.so", ""),
            ("max/package/__init__.py", ""),
            ("max/package/__init__.mojo", ""),
            ("max/data/x.mojo", ""),
            ("modular/lib/x/__init__.py", ""),
            ("modular/lib/x/x.mojo", ""),
        ] {
            fs::create_dir_all(site.join(name).parent().unwrap()).unwrap();
            fs::write(site.join(name), text).unwrap();
        }
        let found = find(site).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path(), site.join("max/ops/a.mojo"));
        // Of `a/b.mojo`, `two`, `a.mojo`, `one`, by Python's hashlib.
        let place = "max/ops/__mojocache__/a.hash-d5cc4bb763af9db2.so";
        assert_eq!(found[0].place(), Path::new(place));
    }
}
