//! Finding the MAX and Mojo packages that a workspace uses.

use std::path::{Path, PathBuf};

use crate::{Ambient, Error, Workspace};

/// The MAX and Mojo packages that a workspace uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdk {
    /// The folder that holds `bin/mojo` and `lib/mojo`.
    pub modular: PathBuf,
    /// The folder of Python packages: `site-packages`, or a carried tree.
    pub site: PathBuf,
    /// The interpreter that matches the packages, where there is one.
    pub python: Option<PathBuf>,
    /// How it was found.
    pub source: SdkSource,
}

/// How an SDK was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdkSource {
    /// `MXFP4_SDK` names it.
    Variable,
    /// `sdk.path` of `mxfp4.toml` names it.
    Config,
    /// The virtual environment at the workspace's root.
    Workspace,
    /// The active environment that this variable names.
    Active(&'static str),
    /// The `mojo` on `PATH` belongs to it.
    Path,
}

impl Sdk {
    /// Finds the SDK of `workspace`, or `None` where there is none.
    pub fn find(_workspace: &Workspace, _ambient: &Ambient) -> Result<Option<Self>, Error> {
        Ok(None)
    }

    /// The native compiler driver, never the Python script of the same name.
    pub fn mojo(&self) -> PathBuf {
        self.modular.join("bin/mojo")
    }

    /// The folder of the SDK's precompiled packages.
    pub fn lib_mojo(&self) -> PathBuf {
        self.modular.join("lib/mojo")
    }

    /// The folder of the SDK's native programs.
    pub fn bin(&self) -> PathBuf {
        self.modular.join("bin")
    }

    /// The interpreter's folder, where `max` and `mblack` are too in a virtual environment.
    pub fn scripts(&self) -> Option<&Path> {
        self.python.as_deref().and_then(Path::parent)
    }
}
