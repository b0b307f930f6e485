//! `mxfp4 test`

use crate::context::Context;

/// Build, then run the Mojo and the Python tests.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_context: &Context, _args: Args) -> anyhow::Result<i32> {
    anyhow::bail!("`mxfp4 test` is not built yet")
}
