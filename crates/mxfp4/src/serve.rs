//! `mxfp4 serve`

pub mod checks;
mod compile_cache;
mod entry_point;
mod flags;
mod launch;
mod log_tail;
mod model;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use mxfp4_env::{Environment, Layout, Options, Platform, Sdk};
use mxfp4_gpu::DeviceSelection;
use mxfp4_process::{Command, Line, Outcome, Output, Stream};

pub use self::checks::{METRICS_VARIABLE, gpus};
pub use self::compile_cache::CompileCache;
pub use self::flags::Flags;
pub use self::launch::{Launch, Request, Task, python};
pub use self::log_tail::LogTail;
pub use self::model::{Model, hub_cache, hub_home, is_offline};
use crate::build::ensure_built;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::setup::ensure_sdk;

/// Build, check the machine, and serve a model.
///
/// MAX serves the model over HTTP, with OpenAI's interface, until Ctrl-C. Flags after `--` go to MAX as they are and win
/// over those that mxfp4 gives it; `mxfp4 serve -- --help` lists them.
#[derive(clap::Args)]
pub struct Args {
    /// The model: a folder, or a repository of the Hugging Face hub [default: serve.model of mxfp4.toml]
    #[arg(long)]
    model: Option<String>,
    /// The GPUs: gpu, gpu:all, or numbers as in gpu:0,1 [default: serve.devices of mxfp4.toml]
    #[arg(long)]
    devices: Option<DeviceSelection>,
    /// The address to listen on [default: serve.host of mxfp4.toml, and without that 127.0.0.1]
    #[arg(long, env = "MAX_SERVE_HOST", hide_env_values = true)]
    host: Option<String>,
    /// The port to listen on [default: serve.port of mxfp4.toml]
    #[arg(long, env = "MAX_SERVE_PORT", hide_env_values = true, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Print the command with the variables it gets, and start nothing; what would be refused is said on stderr
    #[arg(long)]
    dry_run: bool,
    /// Fail where the SDK is missing or outdated, instead of making it
    #[arg(long)]
    no_setup: bool,
    /// Start even where the checks of this machine find something missing, which is then a warning
    #[arg(long)]
    no_check: bool,
    /// Serve without checking first that every kernel computes on this GPU what it must
    #[arg(long)]
    no_self_check: bool,
    /// Let MAX send telemetry to its makers
    #[arg(long)]
    telemetry: bool,
    /// Flags for MAX
    #[arg(last = true, value_name = "MAX FLAGS")]
    max_flags: Vec<OsString>,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let configured = Flags::parse(&context.workspace.config.serve.flags);
    let launch = Launch::plan(
        context,
        Request {
            model: args.model,
            devices: args.devices,
            host: args.host,
            port: args.port,
            telemetry: args.telemetry,
            no_self_check: args.no_self_check,
            flags: configured.overridden_by(Flags::parse(args.max_flags)),
        },
    )?;
    if args.dry_run {
        let problems = launch.problems(context);
        return dry_run(context, &launch, Task::Serve, &problems);
    }
    Platform::current().check()?;
    if args.no_setup {
        // Said before the GPU is looked for: it makes nothing and takes no time.
        ensure_sdk(context, true)?;
    }
    // `-- --help` wants MAX's help, which needs no GPU and no model.
    if !launch.asks_for_help() {
        for problem in launch.problems(context) {
            if !args.no_check {
                return Err(refused(problem).into());
            }
            tracing::warn!("{problem}");
        }
        if let Some(warning) = checks::metrics_port(&launch.host, launch.metrics_port) {
            tracing::warn!("{warning}");
        }
    }
    let (sdk, environment) = prepare(context, args.no_setup)?;
    let command = launch.command(context, Some(&sdk), &environment, Task::Serve)?;
    tracing::info!(
        "serving {} on http://{}:{}",
        launch.name,
        launch.host,
        launch.port
    );
    if let Model::Repository { name, cached: None } = &launch.model {
        tracing::info!(
            "{name} is not in the local cache: MAX fetches it first, and shows no progress"
        );
    }
    let started = Instant::now();
    let cache = CompileCache::of(context);
    let mut tail = LogTail::default();
    let outcome = command.output(Output::Lines).run(&mut |line| {
        tail.push(&line.text);
        echo(&line);
        if let Some(news) = cache.news(&line.text) {
            tracing::info!("{news}");
        }
    })?;
    finish(&outcome, &tail, started)
}

/// The SDK and the kernel package, made where they are missing, and the environment to serve in.
pub fn prepare(context: &Context, no_setup: bool) -> anyhow::Result<(Sdk, Environment)> {
    let sdk = ensure_sdk(context, no_setup)?;
    ensure_built(context, Some(&sdk))?;
    let environment = environment(context, Some(&sdk))?;
    check_packages(context, &sdk, &environment)?;
    Ok((sdk, environment))
}

/// The workspace's environment for a server, its warnings said.
pub fn environment(context: &Context, sdk: Option<&Sdk>) -> anyhow::Result<Environment> {
    let options = Options {
        debug: false,
        serving: true,
        ..Options::default()
    };
    let environment = context.environment(sdk, options)?;
    for warning in &environment.warnings {
        tracing::warn!("{warning}");
    }
    Ok(environment)
}

/// MAX must be able to load the kernel packages; finding out here takes seconds, in the server a minute and a traceback.
pub fn check_packages(
    context: &Context,
    sdk: &Sdk,
    environment: &Environment,
) -> anyhow::Result<()> {
    let packages = context.workspace.kernel_packages();
    if packages.is_empty() {
        return Err(refused("no kernel package is built; run `mxfp4 build`".into()).into());
    }
    // The check knows this repository's ops; a Modular checkout has its own.
    if context.workspace.layout == Layout::Modular {
        return Ok(());
    }
    let mut tail = LogTail::default();
    let outcome = Command::new(python(sdk)?)
        .environment(environment)
        .args(["-m", "mxfp4.check"])
        .args(packages)
        .output(Output::Lines)
        .run(&mut |line| tail.push(&line.text))?;
    if outcome.success() {
        return Ok(());
    }
    if outcome.interrupted.is_some() {
        return Err(mxfp4_toolchain::Error::Interrupted(outcome).into());
    }
    let reason = tail.reason().unwrap_or("the check said nothing");
    let reason = reason.strip_prefix("error: ").unwrap_or(reason);
    Err(refused(format!("the kernel package cannot be loaded: {reason}")).into())
}

/// Prints the command, and on stderr what would keep it from being run here.
pub fn dry_run(
    context: &Context,
    launch: &Launch,
    task: Task<'_>,
    problems: &[String],
) -> anyhow::Result<i32> {
    let sdk = context.sdk()?;
    let environment = environment(context, sdk.as_ref())?;
    if sdk.is_none() {
        tracing::warn!(
            "there is no SDK yet: without --dry-run it is made first, and the command then names its Python"
        );
    }
    if context.workspace.kernel_packages().is_empty() {
        tracing::warn!(
            "no kernel package is built yet: without --dry-run it is built first, and MAX_CUSTOM_EXTENSIONS then names it"
        );
    }
    for problem in problems {
        tracing::warn!("this would be refused here: {problem}");
    }
    let mut line = launch
        .command(context, sdk.as_ref(), &environment, task)?
        .dry_run();
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    Ok(0)
}

/// Passes a line of the server on to the stream it was written to. That nobody reads is no reason to stop serving.
fn echo(line: &Line) {
    let _ = match line.stream {
        Stream::Stdout => writeln!(io::stdout(), "{}", line.text),
        Stream::Stderr => writeln!(io::stderr(), "{}", line.text),
    };
}

/// What the end of MAX means: an interruption is passed on as such, anything else but success is a failure with its
/// reason.
pub fn finish(outcome: &Outcome, tail: &LogTail, started: Instant) -> anyhow::Result<i32> {
    if outcome.interrupted.is_some() {
        return Ok(outcome.code());
    }
    if outcome.success() {
        return Ok(0);
    }
    let mut message = format!(
        "MAX stopped after {} s ({outcome})",
        started.elapsed().as_secs()
    );
    if let Some(reason) = tail.reason() {
        message = format!("{message}: {reason}");
    }
    if outcome.status.signal() == Some(9) {
        message.push_str(
            "\nSIGKILL is how Linux ends a process when the machine runs out of memory; free some",
        );
    } else if let Some(remedy) = tail.remedy() {
        message = format!("{message}\n{remedy}");
    }
    Err(Failure::new(Exit::Failed, message).into())
}

fn refused(problem: String) -> Failure {
    Failure::new(Exit::Precondition, problem)
}
