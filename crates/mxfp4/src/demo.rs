//! `mxfp4 demo`

use crate::context::Context;

/// Make a tiny model and take it through everything this machine can do.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_context: &Context, _args: Args) -> anyhow::Result<i32> {
    anyhow::bail!("`mxfp4 demo` is not built yet")
}
