//! What every subcommand starts from, and where.

use std::path::PathBuf;

use mxfp4_env::{Ambient, Workspace};

pub use mxfp4_env::{Context, Verbosity};

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
