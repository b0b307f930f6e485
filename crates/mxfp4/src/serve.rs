//! `mxfp4 serve`

use crate::context::Context;

/// Build, check the machine, and serve a model.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_context: &Context, _args: Args) -> anyhow::Result<i32> {
    anyhow::bail!("`mxfp4 serve` is not built yet")
}
