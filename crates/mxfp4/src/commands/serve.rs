//! `mxfp4 serve`

mod access;
pub mod checks;
mod compile_cache;
mod detach;
mod entry_point;
mod flags;
mod front_end;
mod kept;
mod launch;
mod log_line;
mod log_tail;
mod migration;
mod model;
mod phase;
mod server;
mod startup;
mod view;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use mxfp4_env::{Environment, Layout, Options, Platform, Sdk};
use mxfp4_gpu::DeviceSelection;
use mxfp4_process::{Command, Outcome, Output};

pub use self::access::Access;
use self::access::AccessArgs;
pub use self::checks::gpus;
pub use self::compile_cache::{CompileCache, is_graph};
use self::detach::Detached;
pub use self::flags::Flags;
use self::front_end::FrontEnd;
pub use self::front_end::Frontend;
use self::kept::KeptArgs;
pub use self::launch::{Launch, Request, Task, python};
pub use self::log_tail::LogTail;
pub use self::model::{Model, hub_cache, hub_home, is_offline};
pub use self::server::{Address, Server, Wait, is_healthy};
pub use self::startup::{Lap, Past};
pub use self::view::View;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::prepare::ensure_built;
use crate::prepare::ensure_sdk;
use crate::ui::visible::visible;

/// Build, check the machine, and serve a model.
///
/// Answers HTTP, with OpenAI's interface, until Ctrl-C; MAX is the engine behind it. Flags after `--` go to MAX and win over
/// those that mxfp4 gives it; `mxfp4 serve -- --help` lists them.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    kept: KeptArgs,
    /// Print the command with the variables it gets, and start nothing; what would be refused is said on stderr
    #[arg(long)]
    dry_run: bool,
    /// Write MAX's whole log to this file, and show its warnings and errors alone
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Print one JSON object a line on standard output for each event: phases, ready, warnings, the end
    #[arg(long)]
    json: bool,
    /// Start the server in a session of its own and return; the log goes to --log-file [default: .mxfp4/serve-PORT.log]
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// With --detach, return once the server is ready; alone, start nothing and wait for the server at the address
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How long --wait waits, in seconds [default: for ever]
    #[arg(long, value_name = "SECONDS", requires = "wait", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Serve no page with a chat and the server's numbers at /
    #[arg(long)]
    no_page: bool,
    /// Flags for MAX
    #[arg(last = true, value_name = "MAX FLAGS")]
    max_flags: Vec<OsString>,
}

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
    /// How many seconds running requests are given to finish once the server is to end [default: 5]
    #[arg(long, value_name = "SECONDS", env = "MAX_SERVE_GRACEFUL_SHUTDOWN_TIMEOUT_S", hide_env_values = true,
          value_parser = clap::value_parser!(u32).range(..=86_400))]
    pub drain: Option<u32>,
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
    pub fn plan(&self, context: &Context, max_flags: &[OsString]) -> anyhow::Result<Launch> {
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
        Platform::current().check()?;
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
                return Err(refused(problem).into());
            }
            tracing::warn!("{problem}");
        }
        if let Some(warning) = checks::metrics_port(&launch.host, launch.metrics_port) {
            tracing::warn!("{warning}");
        }
        Ok(())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "not a number of seconds".into())
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let mut launch = args.start.plan(context, &args.max_flags)?;
    launch.page = !args.no_page;
    let mut access = args.access.read(context, &launch)?;
    access.kept = args.kept.read(context, &launch)?;
    launch.tls = access.tls.is_some();
    if args.wait && !args.detach {
        return detach::wait(&launch.address(), args.timeout);
    }
    if args.dry_run {
        let problems = launch.problems(context);
        return dry_run(context, &launch, Task::Serve, &problems);
    }
    args.start.check(context, &launch)?;
    access.kept.store = args.kept.open(context)?;
    if let Some(warning) = access.warning(&launch.host) {
        tracing::warn!("{warning}");
    }
    let (sdk, environment) = prepare(context, args.start.no_setup)?;
    if args.detach {
        let log = args.log_file.as_deref().map_or_else(
            || {
                context
                    .workspace
                    .state_dir()
                    .join(format!("serve-{}.log", launch.port))
            },
            |path| context.cwd.join(path),
        );
        let detached = Detached {
            address: launch.address(),
            log,
            wait: args.wait.then_some(args.timeout),
            json: args.json,
        };
        return detached.start(without_detaching(std::env::args_os()));
    }
    let log = args.log_file.as_deref().map(create).transpose()?;
    let view = View::new(context.verbosity, args.json, log);
    let mut server = start(context, &launch, (&sdk, &environment), view, access)?;
    match server.await_ready()? {
        Wait::Ready => server.end(),
        Wait::Ended(code) => Ok(code),
    }
}

/// Starts the server. What it needs is checked and made.
pub fn start(
    context: &Context,
    launch: &Launch,
    (sdk, environment): (&Sdk, &Environment),
    view: View,
    access: Access,
) -> anyhow::Result<Server> {
    let command = launch
        .command(context, Some(sdk), environment, Task::Serve)?
        .leader_first()
        .grace(launch.grace());
    let front_end = match launch.frontend {
        Frontend::Mxfp4 => Some(FrontEnd::open(context, launch, access)?),
        Frontend::Max => None,
    };
    let is_modular = context.workspace.layout == Layout::Modular;
    let scope = match launch.host.as_str() {
        "127.0.0.1" if is_modular => {
            ", this machine alone; the checkout's own default is all addresses: --host 0.0.0.0"
        }
        _ => "",
    };
    view.say(&format!(
        "serving {} on {}://{}:{}{scope}",
        launch.name,
        launch.scheme(),
        launch.host,
        launch.port
    ));
    if let Model::Repository { name, cached: None } = &launch.model {
        view.say(&format!(
            "{name} is not in the local cache: MAX fetches it first"
        ));
    }
    Ok(Server::start(
        command,
        launch.address(),
        front_end,
        view,
        CompileCache::of(context),
        (
            Past::of(&launch.name, &context.workspace.state_dir()),
            launch.model.arrivals(&context.ambient),
        ),
    ))
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
    let view = View::new(context.verbosity, false, Some(create(log)?));
    let mut server = start(context, launch, made, view, Access::default())?;
    match server.await_ready()? {
        Wait::Ready => Ok(Ok(server)),
        Wait::Ended(0) => {
            Err(Failure::new(Exit::Failed, "MAX stopped before it was ready to serve").into())
        }
        Wait::Ended(code) => Ok(Err(code)),
    }
}

/// This command line without what is done by now: the log is where the streams go, and the one who waits is here.
fn without_detaching(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut words = words.skip(1);
    while let Some(word) = words.next() {
        if word == "--" {
            kept.push(word);
            kept.extend(words);
            break;
        }
        let text = word.to_string_lossy();
        match text.as_ref() {
            "--detach" | "--wait" => {}
            "--timeout" | "--log-file" => drop(words.next()),
            _ if text.starts_with("--timeout=") || text.starts_with("--log-file=") => {}
            _ => kept.push(word),
        }
    }
    kept
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
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
        message = format!("{message}: {}", visible(reason));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_a_session_of_its_own_is_told_the_rest() {
        let words = "mxfp4 serve --detach --model m --wait --timeout 9 --log-file x --log-file=y -q -- --wait --timeout 1";
        let kept = without_detaching(words.split(' ').map(OsString::from));
        let kept: Vec<_> = kept.iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(kept.join(" "), "serve --model m -q -- --wait --timeout 1");
    }

    #[test]
    fn seconds_are_a_number() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "x", "-1", "nan", "inf", "1e400"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
