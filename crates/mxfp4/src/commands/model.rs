//! `mxfp4 model`

mod gpu;
mod inspect;
mod table;

use clap::Subcommand;

use crate::context::Place;

/// Look at models.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Args),
}

/// Runs the command.
pub fn run(place: &Place, args: Args) -> anyhow::Result<i32> {
    match args.command {
        Command::Inspect(args) => inspect::run(place, &args),
    }
}
