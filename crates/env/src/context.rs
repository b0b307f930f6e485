//! What every command starts from.

use std::path::PathBuf;

use crate::{Ambient, Environment, Error, Options, Sdk, Workspace};

/// The workspace and the variables this process was started with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The workspace, found and its configuration read.
    pub workspace: Workspace,
    /// The environment this process was started with.
    pub ambient: Ambient,
    /// The folder this process was started in.
    pub cwd: PathBuf,
    /// How much to say.
    pub verbosity: Verbosity,
}

/// How much to say on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and warnings only.
    Quiet,
    /// What is being done.
    Normal,
    /// How it is being done.
    Verbose,
}

impl Context {
    /// Whether only warnings, errors and results are wanted.
    pub fn is_quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    /// Looks for the SDK; each call looks again, as `setup` may have made one since.
    pub fn sdk(&self) -> Result<Option<Sdk>, Error> {
        Sdk::find(&self.workspace, &self.ambient)
    }

    /// The workspace's environment, with `sdk`.
    pub fn environment(&self, sdk: Option<&Sdk>, options: Options) -> Result<Environment, Error> {
        Environment::compute(&self.workspace, sdk, &self.ambient, options)
    }
}
