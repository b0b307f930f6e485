//! `mxfp4 bundle`

mod create;
mod size;
mod sources;
mod unpack;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use mxfp4_env::Layout;

use crate::context::{Place, Verbosity};
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

/// Shows on a terminal how much of `total` bytes has been worked on.
fn bar(verbosity: Verbosity, total: u64) -> ProgressBar {
    if verbosity == Verbosity::Quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("      {bar:40} {bytes} of {total_bytes} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

/// `12.3 MB`
fn megabytes(bytes: u64) -> impl Display {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Prints a path as the result.
fn print(path: &Path) -> io::Result<()> {
    let mut line = path.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    io::stdout().write_all(&line)
}
