//! `mxfp4 env`

use std::io::Write;

use mxfp4_env::{Options, render};

use crate::context::Context;

/// Print the workspace's environment for a shell to evaluate.
#[derive(clap::Args)]
pub struct Args {
    /// Run the device synchronously, for debugging.
    #[arg(long)]
    debug: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let sdk = context.sdk()?;
    let options = Options {
        debug: args.debug,
        serving: false,
    };
    let environment = context.environment(sdk.as_ref(), options)?;
    std::io::stdout()
        .lock()
        .write_all(&render::posix(&environment))?;
    Ok(0)
}
