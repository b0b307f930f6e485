//! Finding the tree that `mxfp4` works in.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::config::{self, Config};

/// How a workspace is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// This repository, or one made like it: `mxfp4.toml` at the root.
    Standalone,
    /// A checkout of the Modular monorepo: `bazelw` and `max/kernels/src` at the root.
    Modular,
}

/// The tree whose root was found, and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its root, absolute; a symlink stays one.
    pub root: PathBuf,
    /// How it is laid out.
    pub layout: Layout,
    /// The settings of its `mxfp4.toml`, defaults filled in.
    pub config: Config,
}

impl Workspace {
    /// Finds the workspace: `explicit_root` where given, else from `cwd` upward.
    pub fn find(explicit_root: Option<&Path>, cwd: &Path) -> Result<Self, Error> {
        if let Some(root) = explicit_root {
            let root = cwd.join(root);
            return match Layout::of(&root) {
                Some(layout) => Self::load(root, layout),
                None => Err(Error::Workspace(format!(
                    "{} is not a workspace: it has neither an {} nor `bazelw` and `max/kernels/src`; \
                     give --root (or MXFP4_ROOT) the root of one",
                    root.display(),
                    config::FILE
                ))),
            };
        }
        for folder in cwd.ancestors() {
            if let Some(layout) = Layout::of(folder) {
                return Self::load(folder.to_path_buf(), layout);
            }
        }
        Err(Error::Workspace(format!(
            "no workspace here: neither {} nor any folder above it has an {}, or `bazelw` and \
             `max/kernels/src`; change into a workspace, or name its root with --root or MXFP4_ROOT",
            cwd.display(),
            config::FILE
        )))
    }

    fn load(root: PathBuf, layout: Layout) -> Result<Self, Error> {
        let config = Config::load(&root, layout)?;
        Ok(Self {
            root,
            layout,
            config,
        })
    }

    /// The virtual environment that `mxfp4 setup` makes.
    pub fn venv_dir(&self) -> PathBuf {
        self.root.join(".venv")
    }

    /// Where built kernel packages go.
    pub fn build_dir(&self) -> PathBuf {
        self.root.join("build")
    }

    /// Where the product keeps what it can make again.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(".mxfp4")
    }

    /// The kernel packages that are built, in the order they are loaded.
    pub fn kernel_packages(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

impl Layout {
    /// The layout of `folder`, or `None` where it is not a workspace's root.
    ///
    /// A Modular checkout stays one when an `mxfp4.toml` is added to it.
    pub fn of(folder: &Path) -> Option<Self> {
        if folder.join("bazelw").is_file() && folder.join("max/kernels/src").is_dir() {
            Some(Self::Modular)
        } else if folder.join(config::FILE).is_file() {
            Some(Self::Standalone)
        } else {
            None
        }
    }
}
