use std::num::ParseIntError;
use std::path::PathBuf;

use mxfp4_env::Exit;
use mxfp4_gpu::SelectionError;
use mxfp4_process::Outcome;

use crate::gpu::{GpuError, MemoryError};
use crate::model::ModelError;
use crate::port::PortError;

/// Why MAX cannot be started, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// MAX would take the model's name for a flag of its own.
    #[error("the model '{0}' is neither a folder nor a repository's name")]
    ModelName(String),
    /// The GPUs are not named as MAX names them.
    #[error("{given}")]
    Devices {
        /// Where they are named.
        given: &'static str,
        /// Whether that is the configuration.
        configured: bool,
        /// What is wrong.
        source: SelectionError,
    },
    /// What should be a port's number is none.
    #[error("{given}")]
    Number {
        /// What is given, with its value.
        given: String,
        /// What is wrong.
        source: ParseIntError,
    },
    /// Settings of MAX that would be without effect, one sentence each.
    #[error("{}", .0.join("\n"))]
    Settings(Vec<String>),
    /// The SDK has no MAX.
    #[error("the SDK in {} holds no MAX ({looked_for})", site.display())]
    NoMax {
        /// Where the SDK's packages are.
        site: PathBuf,
        /// What was looked for, and where.
        looked_for: String,
    },
    /// The SDK has no Python.
    #[error("no Python interpreter matches the SDK in {}", .0.display())]
    NoPython(PathBuf),
    /// Python would not find our part of the engine.
    #[error("the engine, python/mxfp4, is in none of PYTHONPATH's folders ({})", shown(.0))]
    NoEngine(Vec<PathBuf>),
    /// There is no kernel package.
    #[error("no kernel package is built")]
    NoPackage,
    /// MAX cannot load the kernel packages.
    #[error("the kernel package cannot be loaded: {0}")]
    Package(String),
    /// The model cannot be served.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The server cannot listen.
    #[error(transparent)]
    Port(#[from] PortError),
    /// There is no GPU for it.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// There is no room on the GPU.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The front end does not come up.
    #[error("the front end cannot start")]
    FrontEnd(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The front end cannot work with the engine.
    #[error("{0}")]
    Engine(String),
    /// MAX stopped with an error.
    #[error("MAX stopped after {seconds} s ({outcome}){}", reason.as_ref().map_or(String::new(), |reason| format!(": {reason}")))]
    Ended {
        /// How long it ran.
        seconds: u64,
        /// How it ended.
        outcome: Outcome,
        /// What it said last.
        reason: Option<String>,
        /// What to do about that.
        remedy: Option<&'static str>,
    },
    /// MAX stopped by itself, without an error.
    #[error("MAX stopped before it was ready to serve")]
    EndedEarly,
    /// Something is wrong with the workspace.
    #[error(transparent)]
    Workspace(#[from] mxfp4_env::Error),
    /// A tool was interrupted, or failed.
    #[error(transparent)]
    Toolchain(#[from] mxfp4_toolchain::Error),
    /// MAX could not be run.
    #[error(transparent)]
    Process(#[from] mxfp4_process::Error),
}

impl Error {
    pub(crate) fn front_end(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::FrontEnd(source.into())
    }

    /// What exit code stands for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Devices {
                configured: true, ..
            } => Exit::Config,
            Self::ModelName(_) | Self::Devices { .. } | Self::Number { .. } | Self::Settings(_) => {
                Exit::Usage
            }
            Self::NoMax { .. } | Self::NoPython(_) => Exit::Sdk,
            Self::NoEngine(_)
            | Self::NoPackage
            | Self::Package(_)
            | Self::Model(_)
            | Self::Port(_)
            | Self::Gpu(_)
            | Self::Memory(_)
            | Self::FrontEnd(_) => Exit::Precondition,
            Self::Engine(_) | Self::Ended { .. } | Self::EndedEarly | Self::Process(_) => {
                Exit::Failed
            }
            Self::Workspace(error) => error.exit(),
            Self::Toolchain(error) => error.exit(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ModelName(name) => format!("a folder of that name is ./{name}"),
            Self::NoMax { .. } => "run `mxfp4 setup`, or name another with MXFP4_SDK".into(),
            Self::NoPython(_) => {
                "install the Python that its packages are for and put it on PATH".into()
            }
            Self::NoEngine(_) => {
                "serve from this project's workspace, or with --frontend max".into()
            }
            Self::NoPackage => "run `mxfp4 build`".into(),
            Self::Model(error) => error.hint()?,
            Self::Port(error) => error.hint(),
            Self::Gpu(error) => error.hint()?,
            Self::Memory(error) => error.hint().into(),
            Self::Ended { remedy, .. } => (*remedy)?.into(),
            Self::Workspace(error) => error.hint()?.into(),
            Self::Toolchain(error) => error.hint()?,
            Self::Devices { .. }
            | Self::Number { .. }
            | Self::Settings(_)
            | Self::Package(_)
            | Self::FrontEnd(_)
            | Self::Engine(_)
            | Self::EndedEarly
            | Self::Process(_) => return None,
        })
    }
}

fn shown(folders: &[PathBuf]) -> String {
    let folders: Vec<_> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    folders.join(", ")
}
