//! Where the workspace is, which SDK it uses, and the environment that follows.
//!
//! Everything here is a function of files and of the variables handed in: no
//! process is started and nothing is written. [`environment::Environment::compute`]
//! is the only place that decides a variable, whoever asks for it: `mxfp4 env`,
//! the commands that run a child, the shell hook and the editor.

mod absolute;
pub mod ambient;
mod bazel;
pub mod config;
mod context;
pub mod environment;
mod error;
mod exit;
#[cfg(test)]
mod fixture;
mod layout;
mod nearest;
pub mod platform;
pub mod render;
pub mod restore;
pub mod sdk;
mod warning;
pub mod workspace;

pub use ambient::Ambient;
pub use bazel::BazelOutputs;
pub use config::Config;
pub use context::{Context, Verbosity};
pub use environment::{Environment, Options, Variable};
pub use error::Error;
pub use exit::Exit;
pub use layout::Layout;
pub use nearest::nearest;
pub use platform::Platform;
pub use restore::Restore;
pub use sdk::Sdk;
pub use warning::Warning;
pub use workspace::Workspace;
