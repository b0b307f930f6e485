//! `mxfp4 bench`

mod file;
mod kernel;
mod measurement;
mod peer;
mod plot;
mod program;
mod record;
mod report;
mod table;

use crate::context::Context;

/// Measure how fast things are on this machine's Hopper GPU.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Kernel(kernel::Args),
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    match args.what {
        What::Kernel(args) => kernel::run(context, args),
    }
}
