//! `mxfp4 setup`

use crate::context::Context;

/// Make the SDK inside the workspace from the lock file.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_context: &Context, _args: Args) -> anyhow::Result<i32> {
    anyhow::bail!("`mxfp4 setup` is not built yet")
}
