//! `mxfp4`: set up, build, test and serve GPT-OSS in MXFP4 on Hopper GPUs.

#[macro_use]
mod ui;

mod cli;
mod commands;
mod context;
mod exit;
mod hidden_keys;
mod prepare;
mod serving;
mod state;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use mxfp4_env::Ambient;
use mxfp4_env::workspace::logical_cwd;

use crate::cli::{Cli, Task};
use crate::commands::version;
use crate::context::{Place, Verbosity};
use crate::exit::{Exit, ExitContext, Failure};
use crate::ui::{color, duration, error, log};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    color::follow_unparsed(std::env::args_os().skip(1));
    if let Err(error) = hidden_keys::hide() {
        error::print(&error);
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    color::follow(cli.color);
    let json_error = cli.command.as_ref().and_then(cli::Command::json_error);
    match run(cli) {
        Ok(code) => ExitCode::from(code.clamp(0, 255) as u8),
        Err(error) if error::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            error::print(&error);
            if let Some(form) = json_error {
                form.print(&error);
            }
            ExitCode::from(exit::of(&error).code())
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<i32> {
    let verbosity = match (cli.quiet, cli.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, _) => Verbosity::Verbose,
    };
    log::start(verbosity, cli.verbose > 1);
    let ambient = Ambient::current();
    if cli.version {
        let place = place(cli.root, ambient, verbosity)?;
        println!("{}", version::full(&place));
        return Ok(0);
    }
    let Some(command) = cli.command else {
        let missing = ErrorKind::MissingSubcommand;
        Cli::command()
            .error(missing, "a command is missing; `mxfp4 help` lists them")
            .exit();
    };
    match command.task() {
        Task::Anywhere(run) => run(&ambient),
        Task::Place(run) => {
            follow_grace(&ambient)?;
            run(place(cli.root, ambient, verbosity)?)
        }
        Task::Workspace(run) => {
            follow_grace(&ambient)?;
            run(place(cli.root, ambient, verbosity)?.workspace()?)
        }
    }
}

/// Where this program was started; `root` is the workspace's, where it is named.
fn place(root: Option<PathBuf>, ambient: Ambient, verbosity: Verbosity) -> anyhow::Result<Place> {
    let cwd = std::env::current_dir().or_exit(Exit::Config, "cannot tell the current folder")?;
    Ok(Place {
        cwd: logical_cwd(cwd, &ambient),
        root: root.or_else(|| ambient.get_nonempty("MXFP4_ROOT").map(PathBuf::from)),
        ambient,
        verbosity,
    })
}

/// Has children get the time that MXFP4_GRACE says once they are to end.
fn follow_grace(ambient: &Ambient) -> Result<(), Failure> {
    if let Some(grace) = ambient.get_nonempty("MXFP4_GRACE") {
        let grace = duration::parse(&grace.to_string_lossy())
            .map_err(|wrong| Failure::new(Exit::Usage, format!("MXFP4_GRACE: {wrong}")))?;
        mxfp4_process::set_grace(grace);
    }
    Ok(())
}
