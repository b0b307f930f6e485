//! `mxfp4 bundle`

mod create;
mod show;
mod size;
mod sources;
mod unpack;

use clap::Subcommand;
use mxfp4_env::Layout;

use crate::context::Place;
use crate::exit::{Exit, Failure};

/// Carry everything that serving needs to a host without internet.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Create(create::Args),
    Unpack(unpack::Args),
}

/// Runs the command. A host that a bundle is unpacked on has no workspace yet.
pub fn run(place: Place, args: Args) -> anyhow::Result<i32> {
    let args = match args.command {
        Command::Unpack(args) => {
            return unpack::run(&place.ambient, &place.cwd, place.verbosity, args);
        }
        Command::Create(args) => args,
    };
    let context = place.workspace()?;
    if context.workspace.layout == Layout::Modular {
        let message = "a bundle holds this project's own kernels and model, which a Modular checkout does not have; \
                       make it in the project's repository";
        return Err(Failure::new(Exit::Config, message).into());
    }
    create::run(&context, args)
}
