//! What the commands that start MAX share: their flags, what they make first, and a server for one of them to talk to.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mxfp4_env::{Environment, Options, Platform, Sdk};
use mxfp4_gpu::DeviceSelection;
use mxfp4_launch::{
    Access, Error, Flags, Frontend, Launch, LogTail, Request, Server, Task, Wait, check_packages,
    finish, metrics_port,
};
use mxfp4_process::{Command, Output};

use crate::context::Context;
use crate::prepare::{ensure_built, ensure_sdk};
use crate::ui::duration;
use crate::ui::progress::Progress;
use crate::ui::start::View;
use crate::ui::{error, log};

/// What a start of a server is asked with, whatever the server is for.
#[derive(clap::Args)]
pub struct StartArgs {
    /// The model: a folder, or a repository of the Hugging Face hub [default: serve.model of mxfp4.toml]
    #[arg(long)]
    pub model: Option<String>,
    /// The GPUs: gpu, gpu:all, or numbers as in gpu:0,1 [default: serve.devices of mxfp4.toml]
    #[arg(long)]
    pub devices: Option<DeviceSelection>,
    /// The address to listen on [default: serve.host of mxfp4.toml, and without that 127.0.0.1]
    #[arg(long, env = "MAX_SERVE_HOST", hide_env_values = true)]
    pub host: Option<String>,
    /// The port to listen on [default: serve.port of mxfp4.toml]
    #[arg(long, env = "MAX_SERVE_PORT", hide_env_values = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Who answers HTTP [default: mxfp4, and max for an architecture that is not this project's]
    #[arg(long, value_enum)]
    pub frontend: Option<Frontend>,
    /// How long running requests may take to finish once the server is to end, such as 30s [default: 5s]
    #[arg(long, value_name = "TIME", env = "MAX_SERVE_GRACEFUL_SHUTDOWN_TIMEOUT_S", hide_env_values = true,
          value_parser = duration::parse_or_seconds)]
    pub drain: Option<Duration>,
    /// Fail where the SDK is missing or outdated, instead of making it
    #[arg(long)]
    pub no_setup: bool,
    /// Start even where the checks of this machine find something missing, which is then a warning
    #[arg(long)]
    pub no_check: bool,
    /// Serve without checking first that every kernel computes on this GPU what it must
    #[arg(long)]
    pub no_self_check: bool,
    /// Let MAX send telemetry to its makers
    #[arg(long)]
    pub telemetry: bool,
}

impl StartArgs {
    /// Decides what is to be started, `max_flags` being those after `--`.
    pub fn plan(&self, context: &Context, max_flags: &[OsString]) -> Result<Launch, Error> {
        let configured = Flags::parse(&context.workspace.config.serve.flags);
        Launch::plan(
            context,
            Request {
                model: self.model.clone(),
                devices: self.devices.clone(),
                host: self.host.clone(),
                port: self.port,
                telemetry: self.telemetry,
                no_self_check: self.no_self_check,
                drain: self.drain,
                frontend: self.frontend,
                flags: configured.overridden_by(Flags::parse(max_flags.iter().cloned())),
            },
        )
    }

    /// Refuses what this machine cannot serve.
    pub fn check(&self, context: &Context, launch: &Launch) -> anyhow::Result<()> {
        Platform::current()
            .check()
            .map_err(mxfp4_env::Error::from)?;
        if self.no_setup {
            // Said before the GPU is looked for: it makes nothing and takes no time.
            ensure_sdk(context, true)?;
        }
        // `-- --help` wants MAX's help, which needs no GPU and no model.
        if launch.asks_for_help() {
            return Ok(());
        }
        for problem in launch.problems(context) {
            if !self.no_check {
                return Err(problem.into());
            }
            tracing::warn!("{}", error::told(&problem));
        }
        if let Some(busy) = metrics_port(&launch.host, launch.metrics_port) {
            tracing::warn!("{busy}; {}", busy.hint());
        }
        Ok(())
    }
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
    log::warnings(&environment);
    Ok(environment)
}

/// Starts a server that another command talks to, MAX's log in the file `log`, and waits until it is ready; a code where
/// it was ended before that.
pub fn start_for_command(
    context: &Context,
    launch: &Launch,
    made: (&Sdk, &Environment),
    log: &Path,
) -> anyhow::Result<Result<Server, i32>> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot write {}", log.display()))?;
    }
    let view = View::new(context.verbosity, false, Some(create_log(log)?));
    let mut server = mxfp4_launch::start(context, launch, made, Box::new(view), Access::default())?;
    match server.await_ready()? {
        Wait::Ready => Ok(Ok(server)),
        Wait::Ended(0) => Err(Error::EndedEarly.into()),
        Wait::Ended(code) => Ok(Err(code)),
    }
}

/// A file that takes a log.
pub fn create_log(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints the command, and on stderr what would keep it from being run here.
pub fn dry_run(
    context: &Context,
    launch: &Launch,
    task: Task<'_>,
    problems: &[Error],
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
        tracing::warn!("this would be refused here: {}", error::told(problem));
    }
    if task == Task::Serve && launch.frontend == Frontend::Mxfp4 {
        tracing::info!(
            "mxfp4 answers HTTP itself on {}://{}:{}; this is the engine it starts, told of its socket by {}",
            launch.scheme(),
            launch.host,
            launch.port,
            mxfp4_engine::VARIABLE
        );
    }
    let mut line = launch
        .command(context, sdk.as_ref(), &environment, task)?
        .dry_run();
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    Ok(0)
}

/// What to compile for where no GPU says it.
pub const HOPPER: &str = "cuda:sm_90a";

/// Runs MAX's compilation and shows its phases; the exit code is that of an interruption, or 0.
pub fn compile(command: Command, progress: Progress) -> anyhow::Result<i32> {
    let started = Instant::now();
    let mut tail = LogTail::default();
    let outcome = command.output(Output::Lines).run(&mut |line| {
        progress.line(&line.text);
        tail.push(&line.text);
    })?;
    drop(progress);
    Ok(finish(&outcome, &tail, started)?)
}
