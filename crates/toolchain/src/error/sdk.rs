use std::path::PathBuf;

use mxfp4_process::Outcome;

use crate::no_python::NoPython;
use crate::uv_version::{OLDEST, Version};

/// Why there is no SDK, or none can be made.
#[derive(Debug, thiserror::Error)]
pub enum SdkError {
    /// A Modular checkout has an environment of its own.
    #[error("no SDK is made in a Modular checkout")]
    InCheckout,
    /// What lies where the SDK belongs was made by somebody else.
    #[error("{} was not made by `mxfp4 setup`, which does not replace it", .0.display())]
    Foreign(PathBuf),
    /// The lock file does not name MAX and Mojo.
    #[error("{} installs no `modular/bin/mojo`: it does not lock MAX and Mojo", .0.display())]
    NotLocked(PathBuf),
    /// uv locked no version of a package.
    #[error("uv locked no version of {0}")]
    NoVersion(&'static str),
    /// A step of uv's failed.
    #[error("`{}` failed ({outcome}), see above", step.command())]
    Step {
        /// The step.
        step: Step,
        /// How uv ended.
        outcome: Outcome,
    },
    /// uv finds no Python.
    #[error(transparent)]
    NoPython(#[from] NoPython),
    /// There is no uv, and nothing to fetch it with.
    #[error("{}", match .0 {
        UvNeeded::NotThere => "neither uv nor python3 is on PATH, and making the SDK needs one of them".to_owned(),
        why => format!("{why}, and there is no python3 to fetch it with"),
    })]
    NoPythonForUv(UvNeeded),
    /// The lock file has no uv for this machine.
    #[error("{why}, and {} has none for this machine", lock_file.display())]
    NoWheel {
        /// Why uv is fetched.
        why: UvNeeded,
        /// The lock file.
        lock_file: PathBuf,
    },
    /// uv could not be fetched.
    #[error("{why}, and the one of {} could not be fetched with {}, see above", lock_file.display(), python.display())]
    Fetch {
        /// Why uv is fetched.
        why: UvNeeded,
        /// What names the wheel.
        lock_file: PathBuf,
        /// What was to fetch it.
        python: PathBuf,
    },
    /// The uv that was fetched does not run.
    #[error("uv was installed as {}, but does not run", .0.display())]
    UvDoesNotRun(PathBuf),
}

/// What uv is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes the virtual environment.
    Venv,
    /// Installs into it.
    Sync,
    /// Moves the pins.
    Lock,
    /// Lists what a portable SDK holds.
    Export,
    /// Installs a portable SDK.
    Install,
}

impl Step {
    fn command(self) -> &'static str {
        match self {
            Self::Venv => "uv venv",
            Self::Sync => "uv sync",
            Self::Lock => "uv lock",
            Self::Export => "uv export",
            Self::Install => "uv pip install",
        }
    }
}

/// Why the workspace gets a uv of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UvNeeded {
    /// There is none.
    #[error("uv is not on PATH")]
    NotThere,
    /// The one that is there cannot make an SDK.
    #[error("uv on PATH is too old ({} is {version}, and {OLDEST} is needed)", path.display())]
    TooOld {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        version: Version,
    },
    /// uv's own configuration asks for another version.
    #[error("uv's configuration asks for another one than is on PATH")]
    AskedFor,
}

impl SdkError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::InCheckout => {
                "activate the environment that has MAX and Mojo, or name it with MXFP4_SDK or `sdk.path` in mxfp4.toml"
                    .into()
            }
            Self::Foreign(_) => {
                "remove it, or name another SDK with MXFP4_SDK or `sdk.path` in mxfp4.toml".into()
            }
            Self::NotLocked(_) => {
                "add `max` and `mojo` to python/pyproject.toml and run `uv lock`, or name an SDK with MXFP4_SDK".into()
            }
            Self::NoVersion(package) => {
                format!("nothing was changed; name a version with --{package}")
            }
            Self::Step { step, .. } => match step {
                Step::Venv | Step::Sync => "nothing was changed, and `mxfp4 setup` starts anew",
                Step::Lock => "nothing was changed; see to it and try again",
                Step::Export | Step::Install => {
                    "see to it and try again, or carry an SDK that is there with --sdk"
                }
            }
            .into(),
            Self::NoPython(error) => error.hint(),
            Self::NoPythonForUv(UvNeeded::NotThere) => "install python3 (3.10 to 3.14)".into(),
            Self::NoPythonForUv(_) | Self::NoWheel { .. } => format!("install uv {OLDEST} or newer"),
            Self::Fetch { .. } => {
                format!("install uv {OLDEST} or newer, or see to the network and try again")
            }
            Self::UvDoesNotRun(_) => "install uv yourself so that it is on PATH".into(),
        }
    }
}
