//! `mxfp4 test`

mod mojo;
mod python;
mod report;
mod suggestion;

use std::io::{self, Write};
use std::time::Instant;

use mxfp4_env::{Options, Sdk};
use mxfp4_gpu::Inventory;
use mxfp4_process::Command;

use self::report::Report;
use self::suggestion::suggestion;
use crate::build::ensure_built;
use crate::context::Context;
use crate::setup::ensure_sdk;

/// Build, then run the Mojo and the Python tests.
///
/// Mojo tests are the programs kernels/test/test_*.mojo, and what must compile for sm_90a without a GPU too. Python
/// tests are those of pytest in python/tests. Tests that need a Hopper GPU are counted as skipped where there is none.
/// In a Modular checkout the tests that `[tests]` of mxfp4.toml names are run.
#[derive(clap::Args)]
pub struct Args {
    /// Run only tests with this in their name: that of a Mojo file or of one of its cases; pytest's -k.
    name: Option<String>,
    /// Fail where the SDK is missing, instead of making it.
    #[arg(long)]
    no_setup: bool,
}

/// What both languages' tests run with.
struct Bench<'a> {
    context: &'a Context,
    sdk: Sdk,
    environment: mxfp4_env::Environment,
    name: Option<&'a str>,
    hopper: bool,
}

/// A signal ended the run; the report says how far it came.
struct Interrupted(i32);

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let start = Instant::now();
    let sdk = ensure_sdk(context, args.no_setup)?;
    ensure_built(context, Some(&sdk))?;
    let bench = Bench {
        context,
        environment: context.environment(Some(&sdk), Options::default())?,
        sdk,
        name: args.name.as_deref(),
        hopper: has_hopper(context),
    };
    let mut report = Report::default();
    let interrupted = run_all(&bench, &mut report)?;
    say(&report.summary(start.elapsed()));
    if let Some(Interrupted(code)) = interrupted {
        return Ok(code);
    }
    if let (Some(name), 0) = (bench.name, report.total()) {
        anyhow::bail!(
            "no test has `{name}` in its name{}",
            suggestion(&bench, name)
        );
    }
    Ok(i32::from(report.has_failures()))
}

fn run_all(bench: &Bench, report: &mut Report) -> anyhow::Result<Option<Interrupted>> {
    if let Some(interrupted) = mojo::run(bench, report)? {
        return Ok(Some(interrupted));
    }
    python::run(bench, report)
}

impl Bench<'_> {
    /// A command as a test runs it: in the workspace's root, in its environment.
    fn prepare(&self, command: &Command) -> Command {
        command
            .clone()
            .environment(&self.environment)
            .cwd(&self.context.workspace.root)
    }
}

/// Whether a program started from here sees a GPU that the kernels run on.
fn has_hopper(context: &Context) -> bool {
    let visible = context.ambient.get("CUDA_VISIBLE_DEVICES");
    let visible = visible.map(|devices| devices.to_string_lossy());
    Inventory::probe().is_ok_and(|inventory| {
        inventory
            .visible(visible.as_deref())
            .is_ok_and(|gpus| gpus.iter().any(mxfp4_gpu::Gpu::is_hopper))
    })
}

/// Prints a line. A reader that went away is no reason to stop testing.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
