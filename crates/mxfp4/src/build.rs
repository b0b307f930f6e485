//! `mxfp4 build`

use crate::context::Context;

/// Build the kernel packages and print their paths.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_context: &Context, _args: Args) -> anyhow::Result<i32> {
    anyhow::bail!("`mxfp4 build` is not built yet")
}
