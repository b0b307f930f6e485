//! `mxfp4 run`

use std::ffi::OsString;
use std::io::ErrorKind;

use mxfp4_process::{Command, Error};

use crate::commands::env;
use crate::context::Context;
use crate::ui::{error, log};

/// Run a program in the workspace's environment: mxfp4 run -- mojo build x.mojo
///
/// This process becomes the program: streams, terminal, signals and the exit code
/// are its own. Exit code 127 says that there is no such program, 126 that it
/// cannot be started.
#[derive(clap::Args)]
pub struct Args {
    /// Fail, with exit code 4, where there is no SDK.
    #[arg(long)]
    strict: bool,
    /// Run the device synchronously, so that an error is reported where it happens.
    #[arg(long)]
    debug: bool,
    /// The program, which is looked up in the environment's PATH, and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let (_, environment) = env::compute(context, args.strict, args.debug)?;
    log::warnings(&environment);
    let mut words = args.command.into_iter();
    let program = words.next().unwrap_or_default();
    Ok(become_program(
        Command::new(program).args(words).environment(&environment),
    ))
}

/// Goes on as `command`. The exit code of what cannot be started is a shell's.
pub fn become_program(command: Command) -> i32 {
    let error = command.exec();
    let Error::Start { source, .. } = &error else {
        unreachable!("there is nothing to lose track of")
    };
    error::line(&format!("{error}: {source}"));
    match source.kind() {
        ErrorKind::NotFound => 127,
        _ => 126,
    }
}
