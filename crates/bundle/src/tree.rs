use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, Mode, Name};

/// What is to be put into a bundle, by its name in there.
///
/// A name that is added again is replaced.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<Name, Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Folder,
    /// A file of the disk.
    File(PathBuf, Mode),
    /// A file that is made up.
    Text(Vec<u8>),
    Link(Vec<u8>),
}

impl Tree {
    /// Adds the file `source` as `name`; its content is read when the bundle is made.
    pub fn file(&mut self, name: impl AsRef<Path>, source: &Path) -> Result<(), Error> {
        let name = self.name(name, source)?;
        let metadata = fs::metadata(source).map_err(Error::file("read", source))?;
        if !metadata.is_file() {
            return Err(unfit(source, "it is not a file"));
        }
        let mode = mode(&metadata);
        self.add(name, Node::File(source.to_owned(), mode));
        Ok(())
    }

    /// Adds a file with this content.
    pub fn text(&mut self, name: &str, content: impl Into<Vec<u8>>) -> Result<(), Error> {
        let name = self.name(name, Path::new(name))?;
        self.add(name, Node::Text(content.into()));
        Ok(())
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) -> Result<(), Error> {
        let name = self.name(name, Path::new(name))?;
        self.add_link(name, Path::new(target), Path::new(target))
    }

    /// Adds what `root` holds at `path`, under the same name below `at`, which may be empty: a file, a link, or a folder
    /// without what is in it.
    pub fn one(&mut self, root: &Path, path: &Path, at: &str) -> Result<(), Error> {
        let source = root.join(path);
        let metadata = fs::symlink_metadata(&source).map_err(Error::file("read", &source))?;
        let place = match path.as_os_str().is_empty() {
            true => PathBuf::from(at),
            false => Path::new(at).join(path),
        };
        if metadata.is_dir() && place.as_os_str().is_empty() {
            return Ok(());
        }
        let name = self.name(place, &source)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            self.add(name, Node::Folder);
            return Ok(());
        }
        if kind.is_symlink() {
            let target = fs::read_link(&source).map_err(Error::file("read", &source))?;
            return self.add_link(name, &target, &source);
        }
        if kind.is_file() {
            self.add(name, Node::File(source, mode(&metadata)));
            return Ok(());
        }
        let what = if kind.is_fifo() {
            "a pipe"
        } else if kind.is_socket() {
            "a socket"
        } else {
            "a device"
        };
        Err(unfit(&source, format!("it is {what}")))
    }

    /// The same with all that is in a folder, but for what `skip` is true of.
    pub fn all(
        &mut self,
        root: &Path,
        path: &Path,
        at: &str,
        skip: &dyn Fn(&Path) -> bool,
    ) -> Result<(), Error> {
        self.one(root, path, at)?;
        let source = root.join(path);
        if source.is_symlink() || !source.is_dir() {
            return Ok(());
        }
        let entries = fs::read_dir(&source).map_err(Error::file("read", &source))?;
        for entry in entries {
            let entry = entry.map_err(Error::file("read", &source))?;
            let path = path.join(entry.file_name());
            if !skip(&path) {
                self.all(root, &path, at, skip)?;
            }
        }
        Ok(())
    }

    /// The size of all files as they are now.
    pub fn bytes(&self) -> Result<u64, Error> {
        let sizes = self.nodes.values().map(|node| match node {
            Node::File(source, _) => fs::metadata(source)
                .map(|metadata| metadata.len())
                .map_err(Error::file("read", source)),
            Node::Text(content) => Ok(content.len() as u64),
            Node::Folder | Node::Link(_) => Ok(0),
        });
        sizes.sum()
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&Name, &Node)> {
        self.nodes.iter()
    }

    fn name(&self, name: impl AsRef<Path>, source: &Path) -> Result<Name, Error> {
        let name = name.as_ref();
        Name::new(name).map_err(|why| unfit(source, format!("its name {} {why}", name.display())))
    }

    fn add_link(&mut self, name: Name, target: &Path, source: &Path) -> Result<(), Error> {
        let bytes = target.as_os_str().as_bytes();
        if let Err(why) = name.check_link(bytes) {
            let target = target.display();
            return Err(unfit(
                source,
                format!("it is a link, and its target {target} {why}"),
            ));
        }
        self.add(name, Node::Link(bytes.to_vec()));
        Ok(())
    }

    fn add(&mut self, name: Name, node: Node) {
        let mut parent = name.parent();
        while let Some(folder) = parent {
            parent = folder.parent();
            self.nodes.insert(folder, Node::Folder);
        }
        self.nodes.insert(name, node);
    }
}

fn mode(metadata: &fs::Metadata) -> Mode {
    match metadata.permissions().mode() & 0o100 {
        0 => Mode::Plain,
        _ => Mode::Executable,
    }
}

fn unfit(path: &Path, why: impl Into<String>) -> Error {
    Error::Unfit {
        path: path.to_owned(),
        why: why.into(),
    }
}
