//! What every subcommand starts from.

use std::path::PathBuf;

use mxfp4_env::{Ambient, Environment, Options, Sdk, Workspace};
use mxfp4_toolchain::Job;

/// Where this process was started.
pub struct Place {
    /// The workspace's root, where it was named.
    pub root: Option<PathBuf>,
    /// The folder.
    pub cwd: PathBuf,
    /// The environment.
    pub ambient: Ambient,
    /// How much to say.
    pub verbosity: Verbosity,
}

impl Place {
    /// The same with the workspace that it is in.
    pub fn workspace(self) -> Result<Context, mxfp4_env::Error> {
        Ok(Context {
            workspace: Workspace::find(self.root.as_deref(), &self.cwd)?,
            ambient: self.ambient,
            cwd: self.cwd,
            verbosity: self.verbosity,
        })
    }
}

/// The workspace and the variables this process was started with.
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
    /// What the toolchain is told about the place it works in.
    pub fn job(&self) -> Job<'_> {
        Job {
            workspace: &self.workspace,
            ambient: &self.ambient,
            quiet: self.is_quiet(),
        }
    }

    /// Whether only warnings, errors and results are wanted.
    pub fn is_quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    /// Looks for the SDK; each call looks again, as `setup` may have made one since.
    pub fn sdk(&self) -> Result<Option<Sdk>, mxfp4_env::Error> {
        Sdk::find(&self.workspace, &self.ambient)
    }

    /// The workspace's environment, with `sdk`.
    pub fn environment(
        &self,
        sdk: Option<&Sdk>,
        options: Options,
    ) -> Result<Environment, mxfp4_env::Error> {
        Environment::compute(&self.workspace, sdk, &self.ambient, options)
    }
}
