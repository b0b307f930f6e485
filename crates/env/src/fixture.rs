//! Workspaces and SDKs made of empty files, for the tests of this crate.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Ambient, Environment, Error, Options, Sdk, Workspace};

/// A temporary folder with a workspace in it.
pub struct Fixture {
    _folder: TempDir,
    /// The temporary folder, without symlinks.
    pub base: PathBuf,
    /// The workspace's root.
    pub root: PathBuf,
    /// What the computation starts from.
    pub ambient: Ambient,
}

impl Fixture {
    pub fn standalone() -> Self {
        let fixture = Self::bare("tree");
        fixture.write("mxfp4.toml", "");
        fixture
    }

    pub fn modular() -> Self {
        let fixture = Self::bare("tree");
        fixture.write("bazelw", "#!/bin/sh\n");
        fixture.folder("max/kernels/src");
        fixture
    }

    /// A root of this name with nothing in it.
    pub fn bare(name: impl AsRef<OsStr>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let root = base.join(name.as_ref());
        fs::create_dir_all(&root).unwrap();
        Self {
            _folder: folder,
            base,
            root,
            ambient: Ambient::from_iter([("PATH", "/usr/bin:/bin")]),
        }
    }

    pub fn set(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.ambient.set(name, value.as_ref());
        self
    }

    /// Writes a file of the workspace.
    pub fn write(&self, path: impl AsRef<Path>, text: &str) -> PathBuf {
        write(&self.root.join(path), text)
    }

    /// Makes a folder of the workspace.
    pub fn folder(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.root.join(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A virtual environment with an SDK; its interpreter is a link to a real name.
    pub fn venv(&self, path: impl AsRef<Path>, python: &str) -> PathBuf {
        let prefix = self.base.join(path);
        let real = write(&self.base.join(format!("pythons/bin/{python}")), "");
        fs::create_dir_all(prefix.join("bin")).unwrap();
        let _ = symlink(real, prefix.join("bin/python"));
        for script in ["mojo", "max", "mblack"] {
            write(&prefix.join("bin").join(script), "#!/some/python\n");
        }
        tree(&prefix.join(format!("lib/{python}/site-packages")));
        prefix
    }

    pub fn workspace(&self) -> Workspace {
        Workspace::find(Some(&self.root), Path::new("/")).unwrap()
    }

    pub fn sdk(&self) -> Option<Sdk> {
        Sdk::find(&self.workspace(), &self.ambient).unwrap()
    }

    pub fn compute(&self) -> Environment {
        self.compute_for(Options::default())
    }

    pub fn compute_for(&self, options: Options) -> Environment {
        let sdk = self.sdk();
        Environment::compute(&self.workspace(), sdk.as_ref(), &self.ambient, options).unwrap()
    }

    /// `text` with the temporary folder replaced, for snapshots.
    pub fn shown(&self, text: &str) -> String {
        text.replace(self.base.to_str().unwrap(), "[BASE]")
    }
}

/// The SDK's own files below `site`.
pub fn tree(site: &Path) {
    write(&site.join("modular/bin/mojo"), "\x7fELF");
    fs::create_dir_all(site.join("modular/lib/mojo")).unwrap();
    write(&site.join("max/_core.cpython-312-x86_64-linux-gnu.so"), "");
}

pub fn write(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    path.to_path_buf()
}

/// An error with what to do about it, as a command tells it.
pub fn told(error: &Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}
