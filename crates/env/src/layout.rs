//! How a workspace is laid out.

use std::fmt;
use std::path::Path;

/// The name of the configuration file.
pub const FILE: &str = "mxfp4.toml";

/// How a workspace is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// This repository, or one made like it: `mxfp4.toml` at the root.
    Standalone,
    /// A checkout of the Modular monorepo: `bazelw` and `max/kernels/src` at the root.
    Modular,
}

impl Layout {
    /// The layout of `folder`, or `None` where it is not a workspace's root.
    ///
    /// A Modular checkout stays one when an `mxfp4.toml` is added to it.
    pub fn of(folder: &Path) -> Option<Self> {
        if folder.join("bazelw").is_file() && folder.join("max/kernels/src").is_dir() {
            Some(Self::Modular)
        } else if folder.join(FILE).is_file() {
            Some(Self::Standalone)
        } else {
            None
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standalone => "standalone",
            Self::Modular => "modular",
        })
    }
}
