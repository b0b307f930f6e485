//! `mxfp4 doctor`

mod ask;
mod bazel;
mod check;
mod checks;
mod disk;
mod editor;
mod examination;
mod facts;
mod finding;
mod goal;
mod gpu;
mod hub;
mod kernels;
mod linker;
mod patches;
mod platform;
mod python;
mod report;
mod rust;
mod sdk;
mod serving;

use std::io::{self, Write};

use mxfp4_launch::{Flags, Request};

use self::checks::CHECKS;
use self::examination::{Examination, examine};
use self::facts::Facts;
use self::goal::Goal;
use crate::context::Context;
use crate::exit::Exit;

/// Check what building, testing and serving need, and say what to do
///
/// Prints a row for each thing, what is wrong with a reason and a remedy, and whether build, test and serve can work.
/// Exits with 0 when they can and with 5 when not; with names, only those count: on a machine without a GPU `mxfp4
/// doctor build test` succeeds. Nothing is made or changed, and nothing connects to the network without --online.
#[derive(clap::Args)]
pub struct Args {
    /// What must be able to work [default: all three]
    #[arg(value_enum, value_name = "JOB")]
    goals: Vec<Goal>,
    /// Print JSON, as docs/reference/doctor.md describes it
    #[arg(long)]
    pub json: bool,
    /// Ask the Hugging Face hub for the model too
    #[arg(long)]
    online: bool,
    /// The model to serve: a folder, or a repository of the hub [default: serve.model of mxfp4.toml]
    #[arg(long)]
    model: Option<String>,
    // What `serve` would be started with from here.
    #[arg(long, env = "MAX_SERVE_HOST", hide = true)]
    host: Option<String>,
    #[arg(long, env = "MAX_SERVE_PORT", hide = true, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let request = Request {
        model: args.model,
        host: args.host,
        port: args.port,
        flags: Flags::parse(&context.workspace.config.serve.flags),
        ..Request::default()
    };
    let facts = Facts::gather(context, request, args.online);
    let examination = Examination {
        context,
        rows: examine(&facts, CHECKS)?,
    };
    let text = match args.json {
        true => report::json(&examination),
        false => report::text(&examination),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    let goals = match args.goals.as_slice() {
        [] => &Goal::ALL[..],
        named => named,
    };
    Ok(match goals.iter().all(|&goal| examination.works(goal)) {
        true => 0,
        false => Exit::Precondition.code().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_a_kind() {
        for (at, check) in CHECKS.iter().enumerate() {
            assert!(CHECKS[..at].iter().all(|other| other.id != check.id));
            assert!(!check.why.ends_with('.'), "{}", check.why);
        }
    }
}
