//! What is watched, and what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use mxfp4_env::{Layout, Options, config};
use mxfp4_fs::{Found, Stamp, Walk};

use crate::context::Context;

/// What is watched.
pub struct Sources {
    root: PathBuf,
    /// Where what a build makes is: no source.
    made: PathBuf,
    /// Files and folders: whatever in them is a source.
    paths: BTreeSet<PathBuf>,
}

/// What there was at one look.
#[derive(Default)]
pub struct Looked {
    files: BTreeMap<PathBuf, File>,
    /// The folders in which a change may show.
    pub folders: BTreeSet<Folder>,
    /// How long the look took.
    pub time: Duration,
}

/// A folder that is there; another one of its name is another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Folder {
    /// Its path.
    pub path: PathBuf,
    device: u64,
    inode: u64,
}

/// A source.
struct File {
    /// Absent when it was so young that its stamp proves nothing.
    stamp: Option<Stamp>,
    content: Content,
}

/// What is in a file, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Hash(blake3::Hash),
    /// A folder that has another name too, by which it was looked into.
    AlsoNamed(PathBuf),
    /// A named pipe or the like, which nobody reads.
    Special,
    /// It cannot be read; when it was changed.
    Unreadable(Option<SystemTime>),
}

impl Looked {
    /// How many sources there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Whether every source is there as it is in `other`, and no more.
    pub fn is_like(&self, other: &Self) -> bool {
        self.files.len() == other.files.len()
            && self
                .files
                .iter()
                .zip(&other.files)
                .all(|((path, file), (others, theirs))| {
                    path == others && file.content == theirs.content
                })
    }
}

impl Sources {
    /// Those of a workspace: what it names, and what you have on the import path.
    pub fn of(context: &Context) -> Self {
        let workspace = &context.workspace;
        let config = &workspace.config;
        let kernels = config.kernels.iter();
        let kernels =
            kernels.flat_map(|kernel| std::iter::once(&kernel.source).chain(&kernel.includes));
        let tests = config.tests.mojo.iter().chain(&config.tests.python);
        let mut paths: BTreeSet<PathBuf> = kernels
            .chain(tests)
            .chain(&config.tests.mojo_includes)
            .map(|path| workspace.root.join(path))
            .collect();
        paths.extend(import_path(context));
        if workspace.layout == Layout::Modular {
            paths.insert(workspace.root.join("max/kernels/src"));
            let targets = config.bazel.kernel_api.iter().chain(&config.bazel.targets);
            paths.extend(targets.map(|label| workspace.root.join(label.package())));
        }
        Self {
            root: workspace.root.clone(),
            made: workspace.build_dir(),
            paths,
        }
    }

    /// The configuration alone, without which nobody knows the others.
    pub fn configuration(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            made: PathBuf::new(),
            paths: BTreeSet::new(),
        }
    }

    /// All sources with their content. What `old` knows of a file that was not touched since is believed.
    pub fn look(&self, old: Option<&Looked>) -> Looked {
        let begin = Instant::now();
        let mut look = Look {
            sources: self,
            old,
            now: SystemTime::now(),
            looked: Looked::default(),
        };
        let mut walk = Walk::default();
        let configuration = self.root.join(config::FILE);
        for path in std::iter::once(&configuration).chain(&self.paths) {
            // It may go away, and come again: that shows in a folder above.
            for folder in path.ancestors().skip(1) {
                look.folder(folder);
                if folder == self.root || !folder.starts_with(&self.root) {
                    break;
                }
            }
            let Ok(()) = walk.look::<Infallible>(path, &mut |found| {
                look.found(found);
                Ok(())
            });
        }
        look.looked.time = begin.elapsed();
        look.looked
    }

    /// Whether a file is read by a build or a test.
    fn counts(&self, path: &Path) -> bool {
        let is_named = || self.paths.contains(path);
        is_source(path) || (is_package(path) && !path.starts_with(&self.made)) || is_named()
    }
}

/// The user's own entries of the import path.
fn import_path(context: &Context) -> Vec<PathBuf> {
    let sdk = context.sdk().ok().flatten();
    let Ok(environment) = context.environment(sdk.as_ref(), Options::default()) else {
        return Vec::new();
    };
    let listed = environment.get("MODULAR_MOJO_MAX_IMPORT_PATH");
    let entries = listed.unwrap_or_default().as_bytes();
    entries
        .split(|&byte| byte == b',')
        .filter(|entry| !entry.is_empty())
        .map(|entry| context.cwd.join(OsStr::from_bytes(entry)))
        .filter(|path| {
            let is_sdks = sdk
                .as_ref()
                .is_some_and(|sdk| path.starts_with(&sdk.modular));
            !is_sdks && !path.starts_with(&context.workspace.root)
        })
        .collect()
}

struct Look<'a> {
    sources: &'a Sources,
    old: Option<&'a Looked>,
    now: SystemTime,
    looked: Looked,
}

impl Look<'_> {
    fn found(&mut self, found: Found) {
        match found {
            Found::Folder(path) => self.folder(path),
            Found::File(path, metadata) => {
                if self.sources.counts(path) {
                    self.file(path, metadata);
                }
                // What a link leads to changes in its own folder.
                if path.is_symlink()
                    && let Ok(real) = fs::canonicalize(path)
                    && let Some(folder) = real.parent()
                {
                    self.folder(folder);
                }
            }
            Found::Again { path, first } => {
                self.put(path, None, Content::AlsoNamed(first.to_owned()));
            }
            Found::Special(path) => {
                if self.sources.counts(path) {
                    self.put(path, None, Content::Special);
                }
            }
            Found::Unreadable(path, _) => self.unreadable(path),
        }
    }

    fn folder(&mut self, path: &Path) {
        if let Ok(metadata) = fs::metadata(path)
            && metadata.is_dir()
        {
            self.looked.folders.insert(Folder {
                path: path.to_owned(),
                device: metadata.dev(),
                inode: metadata.ino(),
            });
        }
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) {
        let stamp = Stamp::of(metadata);
        let known = self.old.and_then(|old| old.files.get(path));
        let known = known.filter(|known| known.stamp == Some(stamp));
        let content = match known {
            Some(known) => known.content.clone(),
            None => match fs::read(path) {
                Ok(content) => Content::Hash(blake3::hash(&content)),
                Err(_) => return self.unreadable(path),
            },
        };
        let stamp = stamp.is_settled(self.now).then_some(stamp);
        self.put(path, stamp, content);
    }

    fn unreadable(&mut self, path: &Path) {
        let modified = path.metadata().and_then(|meta| meta.modified()).ok();
        self.put(path, None, Content::Unreadable(modified));
    }

    fn put(&mut self, path: &Path, stamp: Option<Stamp>, content: Content) {
        let file = File { stamp, content };
        self.looked.files.insert(path.to_owned(), file);
    }
}

/// Whether a file of this name is read by a build or a test: editors put others beside it, and Python too.
fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name == config::FILE || name.starts_with("BUILD") {
        return true;
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && ["mojo", "🔥", "py", "bzl", "toml"].contains(&&*extension)
}

/// Whether it is a Mojo package that was compiled already, as an import path may hold it.
fn is_package(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "mojoc" || extension == "mojopkg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_editor_leaves_beside_a_source_is_none() {
        for (name, expected) in [
            ("a/ops.mojo", true),
            ("a/ops.🔥", true),
            ("a/test_x.py", true),
            ("mxfp4.toml", true),
            ("a/BUILD.bazel", true),
            ("a/.ops.mojo.swp", false),
            ("a/.#ops.mojo", false),
            ("a/ops.mojo~", false),
            ("a/4913", false),
            ("a/__pycache__/x.cpython-311.pyc", false),
            ("a/build/x.mojoc", false),
        ] {
            assert_eq!(is_source(Path::new(name)), expected, "{name}");
        }
    }
}
