//! `mxfp4 bench kernel`

use std::path::{Path, PathBuf};

use mxfp4_env::{Layout, Options, Platform, Sdk};
use mxfp4_gpu::DeviceSelection;
use mxfp4_launch::{GpuError, gpus};
use mxfp4_process::Command;
use mxfp4_toolchain::build;

use super::checkout;
use super::measurement::Measurement;
use super::peer::{Measured, Peer};
use super::program::{self, Errors, Shapes};
use super::record::{Gpu, Limits, Record, Versions};
use super::{file, report, table};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::prepare::ensure_sdk;
use crate::ui::message_format::MessageFormat;

/// The Mojo program that measures.
const PROGRAM: &str = "kernels/bench/bench_grouped_matmul.mojo";
/// Its import paths.
const INCLUDES: [&str; 2] = ["kernels", "kernels/test"];

/// Measure the grouped matmul on the shapes of GPT-OSS.
///
/// Each row is the median of 20 calls, replayed as a device graph with the L2 cache flushed between them. What the GPU
/// can read and multiply at most is measured in the same run. GB/s counts the packed weights of the experts that have
/// tokens, TFLOP/s the routed rows.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    shapes: Shapes,
    /// Measure another kernel too, and compare
    #[arg(long)]
    peer: Option<Peer>,
    /// The Python that runs the peer [default: the python3 on PATH]
    #[arg(long, value_name = "PATH", requires = "peer")]
    peer_python: Option<PathBuf>,
    /// Write the measurements to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page, index.html, and its charts into this folder
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Measure nothing: show what --json wrote to this file, which needs no GPU
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tokens", "experts", "routing", "peer", "json", "no_setup"])]
    from: Option<PathBuf>,
    /// Fail where the SDK is missing or outdated, instead of making it
    #[arg(long)]
    no_setup: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let Some(recorded) = &args.from else {
        return measure(context, args);
    };
    let record = Record::read(recorded)?;
    table::print(&record);
    if let Some(folder) = &args.report {
        report::write(&record, folder)?;
    }
    Ok(0)
}

fn measure(context: &Context, args: Args) -> anyhow::Result<i32> {
    if context.workspace.layout == Layout::Modular {
        let message = checkout::advice(&context.workspace.root);
        return Err(Failure::new(Exit::Config, message).into());
    }
    Platform::current()
        .check()
        .map_err(mxfp4_env::Error::from)?;
    if args.no_setup {
        // Said before the GPU is looked for: it makes nothing and takes no time.
        ensure_sdk(context, true)?;
    }
    let gpu = gpu(context)?;
    file::check_outputs(args.json.as_deref(), args.report.as_deref())?;
    let sdk = ensure_sdk(context, args.no_setup)?;
    let environment = context.environment(Some(&sdk), Options::default())?;
    let includes = INCLUDES.map(Path::new);
    let program = build::program(
        context,
        &sdk,
        &environment,
        PROGRAM.as_ref(),
        &includes,
        &mut |event| MessageFormat::Human.event(&event),
    )?;

    tracing::info!("measuring on {}, driver {}", gpu.name, gpu.driver);
    let mut record = Record {
        command: args.command(),
        gpu,
        versions: versions(&sdk),
        limits: Limits::default(),
        rows: Vec::new(),
        peer: None,
    };
    let mut printer = table::Printer::default();
    let command = Command::new(program)
        .environment(&environment)
        .args(args.shapes.flags())
        .cwd(&context.workspace.root);
    let (outcome, _) = program::run(
        command,
        Errors::PassedOn,
        &mut |measurement| match measurement {
            Measurement::Limit(limit) => record.limits.set(limit),
            Measurement::Row(row) => {
                printer.row(&row, &record.limits);
                record.rows.push(row);
            }
        },
    )?;
    if outcome.interrupted.is_some() {
        return Ok(outcome.code());
    }
    if !outcome.success() {
        anyhow::bail!("the benchmark failed ({outcome}); what it says is above");
    }
    if record.rows.is_empty() {
        anyhow::bail!("the benchmark printed no measurement; what it says is above");
    }
    args.write(&record)?;

    let Some(peer) = args.peer else {
        return Ok(0);
    };
    tracing::info!("measuring {peer}");
    let python = args.peer_python.clone();
    let python = python.unwrap_or_else(|| "python3".into());
    match peer.measure(context, &sdk, python, &args.shapes)? {
        Measured::Interrupted(code) => Ok(code),
        Measured::Rows(rows) => {
            record.peer = Some(rows);
            table::print_comparison(&record);
            args.write(&record)?;
            Ok(0)
        }
    }
}

impl Args {
    /// The command that measures the same anywhere: without the files of this machine.
    fn command(&self) -> String {
        let mut command = format!("mxfp4 bench kernel {}", self.shapes.flags().join(" "));
        if let Some(peer) = self.peer {
            command.push_str(&format!(" --peer {peer}"));
        }
        command
    }

    fn write(&self, record: &Record) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            record.write(path)?;
        }
        if let Some(folder) = &self.report {
            report::write(record, folder)?;
        }
        Ok(())
    }
}

/// The GPU that a program started from here uses, which must be a Hopper.
fn gpu(context: &Context) -> Result<Gpu, Failure> {
    let selected = gpus(&DeviceSelection::First, &context.ambient).map_err(|error| {
        let failure = Failure::new(Exit::Precondition, error.to_string());
        match hint(&error) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    })?;
    let mut gpus = selected.gpus.into_iter();
    Ok(Gpu {
        name: gpus.next().map_or_else(String::new, |gpu| gpu.name),
        driver: selected.driver,
    })
}

/// What to do about a GPU that is missing, so as to measure.
fn hint(error: &GpuError) -> Option<String> {
    match error {
        GpuError::Driver(_) => Some(
            "measure on a machine with an H100, H200 or GH200 and its driver, or show a recorded run with --from"
                .into(),
        ),
        GpuError::NotHopper { .. } => Some(
            "measure on an H100, H200 or GH200, chosen with CUDA_VISIBLE_DEVICES where there are several GPUs".into(),
        ),
        error => error.hint(),
    }
}

fn versions(sdk: &Sdk) -> Versions {
    Versions {
        mxfp4: env!("CARGO_PKG_VERSION").to_owned(),
        max: sdk.version("max"),
        mojo: sdk.version("mojo"),
    }
}
