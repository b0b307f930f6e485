mod build;
mod config;
mod sdk;

use std::io;
use std::path::{Path, PathBuf};

use mxfp4_env::Exit;
use mxfp4_process::Outcome;

pub use self::build::{BuildError, Refused};
pub use self::config::ConfigError;
pub use self::sdk::{SdkError, Step, UvNeeded};

/// Why an SDK or a kernel package could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no SDK, or none can be made.
    #[error(transparent)]
    Sdk(#[from] SdkError),
    /// Making the SDK failed on the way.
    #[error("setting up the SDK failed")]
    Setup(#[source] Box<Error>),
    /// The compiler or Bazel refused.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The configuration names something that is not there.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A signal reached `mxfp4` while a tool ran.
    #[error("{0}")]
    Interrupted(Outcome),
    /// Something is wrong with the workspace.
    #[error(transparent)]
    Workspace(#[from] mxfp4_env::Error),
    /// A tool could not be run.
    #[error(transparent)]
    Process(#[from] mxfp4_process::Error),
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A file operation was not allowed.
    #[error("cannot {action} {}: {reason}", path.display())]
    NotAllowed {
        /// What was attempted.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system says.
        reason: io::Error,
        /// What to do about it.
        remedy: String,
    },
}

impl Error {
    /// For `map_err`: the failure to do `action` to `path`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match mxfp4_fs::remedy(&source, &path) {
            Some(remedy) => Self::NotAllowed {
                action,
                path,
                reason: source,
                remedy,
            },
            None => Self::File {
                action,
                path,
                source,
            },
        }
    }

    /// It as what ended the making of an SDK.
    pub(crate) fn in_setup(self) -> Self {
        match self {
            Self::Sdk(_) | Self::Config(_) | Self::Interrupted(_) => self,
            other => Self::Setup(Box::new(other)),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Setup(cause) => cause.hint(),
            Self::Workspace(error) => error.hint().map(str::to_owned),
            Self::NotAllowed { remedy, .. } => Some(remedy.clone()),
            Self::Sdk(error) => Some(error.hint()),
            Self::Build(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Interrupted(_) | Self::Process(_) | Self::File { .. } => None,
        }
    }

    /// What exit code stands for this error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Sdk(_) => Exit::Sdk,
            Self::Setup(cause) => match cause.exit() {
                Exit::Failed => Exit::Sdk,
                exit => exit,
            },
            Self::Config(_) => Exit::Config,
            Self::Interrupted(outcome) => Exit::Signal(outcome.code().clamp(1, 255) as u8),
            Self::Workspace(error) => error.exit(),
            Self::Build(_) | Self::Process(_) | Self::File { .. } | Self::NotAllowed { .. } => {
                Exit::Failed
            }
        }
    }
}
