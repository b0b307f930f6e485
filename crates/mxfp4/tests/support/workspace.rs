//! The one fixture of the command line's tests: a folder of files in which `mxfp4` is run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{folder, mxfp4};

/// A workspace; it is removed when this is dropped. What else a module's tests need they add around it.
pub struct TestWorkspace {
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl TestWorkspace {
    /// One with these files; a name that ends in `/` is a folder.
    pub fn new<N: AsRef<str>, T: AsRef<str>>(files: impl IntoIterator<Item = (N, T)>) -> Self {
        let folder = folder(files);
        let root = folder.path().to_owned();
        Self { folder, root }
    }

    /// The same one folder further down, which has this name.
    pub fn named<N: AsRef<str>, T: AsRef<str>>(
        name: &str,
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        let files = files.into_iter();
        let mut workspace =
            Self::new(files.map(|(file, text)| (format!("{name}/{}", file.as_ref()), text)));
        workspace.root.push(name);
        workspace
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The temporary folder, which is the root or holds it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path below the root.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }

    /// What a file holds.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("it can be read")
    }

    /// Makes a program of a file.
    pub fn make_executable(&self, name: &str) {
        fs::set_permissions(self.path(name), Permissions::from_mode(0o755)).expect("it is there");
    }

    /// `mxfp4` in the root.
    pub fn command(&self) -> Command {
        mxfp4(&self.root)
    }
}
