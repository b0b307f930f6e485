//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::Exit;

/// A failure to find or to read the workspace, its configuration or its SDK.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No workspace at the place asked for, or anywhere above it.
    #[error("{0}")]
    Workspace(String),
    /// `mxfp4.toml` says something that it cannot say.
    #[error("{0}")]
    Config(String),
    /// The SDK that was asked for by name is not one.
    #[error("{0}")]
    Sdk(String),
    /// A path that a variable's format cannot carry.
    #[error("{0}")]
    Path(String),
    /// A value that the language asked for cannot express.
    #[error("{0}")]
    Value(String),
    /// The record of an activation that cannot be read.
    #[error("{0}")]
    Record(String),
    /// A file or folder that could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why it could not be.
        source: io::Error,
    },
}

impl Error {
    /// What exit code documents this kind of failure.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Sdk(_) => Exit::Sdk,
            Self::Record(_) => Exit::Failed,
            _ => Exit::Config,
        }
    }
}
