//! What can go wrong, and what to do about it.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::Exit;
use crate::layout::FILE;
use crate::platform::Unsupported;

/// A failure to find or to read the workspace, its configuration or its SDK.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No workspace in a folder, or anywhere above it.
    #[error(
        "no workspace here: neither {} nor a folder above it has an {FILE}, or `bazelw` and `max/kernels/src`",
        .0.display()
    )]
    NoWorkspace(PathBuf),
    /// The root that was named is none.
    #[error("{} is not the root of a workspace: it {why}", root.display())]
    NotRoot {
        /// What was named.
        root: PathBuf,
        /// What it lacks.
        why: String,
    },
    /// `mxfp4.toml` says something that it cannot say.
    #[error("{0}")]
    Config(String),
    /// The SDK that was asked for by name is not one.
    #[error(
        "{name} names {}, which {}: it must be a virtual environment, a conda or pixi environment, or a folder with \
         modular/bin/mojo in it",
        path.display(), match path.exists() { true => "holds no SDK", false => "does not exist" }
    )]
    NotSdk {
        /// Where it is named.
        name: String,
        /// What is named.
        path: PathBuf,
    },
    /// MAX and Mojo are not made for this machine.
    #[error(transparent)]
    Platform(#[from] Unsupported),
    /// A path of the SDK that a variable's format cannot carry.
    #[error(
        "the SDK's path {} has {separator} in it, which separates the entries of {name}",
        path.display()
    )]
    SdkPath {
        /// The path.
        path: PathBuf,
        /// What is in it.
        separator: &'static str,
        /// The variable.
        name: &'static str,
    },
    /// A path of the workspace that a variable's format cannot carry.
    #[error(
        "the workspace's path {} has {separator} in it, which separates the entries of {name}",
        path.display()
    )]
    WorkspacePath {
        /// The path.
        path: PathBuf,
        /// What is in it.
        separator: &'static str,
        /// The variable.
        name: &'static str,
    },
    /// A value that the language asked for cannot express.
    #[error("the value of {name} has {what}, which {language} cannot express: {value:?}")]
    Value {
        /// The variable.
        name: String,
        /// Its value.
        value: OsString,
        /// What is in it.
        what: String,
        /// The language.
        language: String,
    },
    /// The record of an activation that cannot be read.
    #[error(
        "{0} holds no record that this version of mxfp4 can read, so that nothing can be restored"
    )]
    Record(&'static str),
    /// A record that would be longer than a variable can be.
    #[error(
        "PATH and the other variables are too long to be restored on leaving, so that nothing is activated here"
    )]
    TooLong,
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
            Self::NotSdk { .. } | Self::Platform(_) | Self::SdkPath { .. } => Exit::Sdk,
            Self::Record(_) | Self::TooLong => Exit::Failed,
            Self::NoWorkspace(_)
            | Self::NotRoot { .. }
            | Self::Config(_)
            | Self::WorkspacePath { .. }
            | Self::Value { .. }
            | Self::Read { .. } => Exit::Config,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoWorkspace(_) => {
                "change into a workspace, or name its root with --root or MXFP4_ROOT"
            }
            Self::NotRoot { .. } => "give --root (or MXFP4_ROOT) the root of one",
            Self::NotSdk { .. } => "correct it, or remove it and run `mxfp4 setup`",
            Self::Platform(error) => error.hint(),
            Self::SdkPath { .. } => {
                "move the SDK, or make a link to it without one and name that with MXFP4_SDK"
            }
            Self::WorkspacePath { .. } => {
                "rename the folder, or make a link to the workspace without one and name that with --root or MXFP4_ROOT"
            }
            Self::Value { .. } => {
                "use another --shell, or rename the folder or change the variable that it comes from"
            }
            Self::Record(_) => "unset it, or start a new shell",
            Self::TooLong => "shorten them, or use `mxfp4 shell`",
            Self::Config(_) | Self::Read { .. } => return None,
        })
    }
}
