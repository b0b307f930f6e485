//! `mxfp4 bench`

mod chart;
mod checkout;
pub mod file;
mod html;
mod kernel;
mod measurement;
mod peer;
mod plot;
mod program;
mod record;
mod report;
mod serve;
mod table;

use crate::context::Context;

/// Measure how fast the kernel and the server are.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    Kernel(Box<kernel::Args>),
    Serve(Box<serve::Args>),
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    match args.what {
        What::Kernel(args) => kernel::run(context, *args),
        What::Serve(args) => serve::run(context, *args),
    }
}
