//! `mxfp4 serve`

mod access;
mod codex;
mod detach;
mod kept;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use mxfp4_launch::{Frontend, Task, Wait};

use self::access::AccessArgs;
use self::detach::Detached;
use self::kept::KeptArgs;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::hidden_keys;
use crate::serving::{StartArgs, create_log, dry_run, prepare};
use crate::ui::duration;
use crate::ui::start::View;

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
    pub json: bool,
    /// Start the server in a session of its own and return; the log goes to --log-file [default: .mxfp4/serve-PORT.log]
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// With --detach, return once the server is ready
    #[arg(long)]
    wait: bool,
    /// How long --wait waits, such as 90s [default: for ever]
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = duration::parse_or_seconds)]
    timeout: Option<Duration>,
    /// Serve no page with a chat and the server's numbers at /
    #[arg(long)]
    no_page: bool,
    /// Flags for MAX
    #[arg(last = true, value_name = "MAX FLAGS")]
    max_flags: Vec<OsString>,
}

/// Runs the command.
pub fn run(context: &Context, mut args: Args) -> anyhow::Result<i32> {
    let Some(last_words) = detach::last_words() else {
        return serve(context, args);
    };
    // The log is where the streams go.
    (args.detach, args.wait) = (false, false);
    args.log_file = None;
    serve(context, args).inspect_err(|error| detach::tell(&last_words, error))
}

fn serve(context: &Context, args: Args) -> anyhow::Result<i32> {
    if args.wait && !args.detach {
        return Err(Failure::new(Exit::Usage, "--wait goes with --detach")
            .with_hint("of a server that something else starts, ask /health: it answers 200 once it is ready")
            .into());
    }
    let mut launch = args.start.plan(context, &args.max_flags)?;
    launch.page = !args.no_page;
    let mut access = args.access.read(context, &launch)?;
    access.kept = args.kept.read(context, &launch)?;
    launch.tls = access.tls.is_some();
    if args.dry_run {
        let problems = launch.problems(context);
        return dry_run(context, &launch, Task::Serve, &problems);
    }
    args.start.check(context, &launch)?;
    access.kept.store = args.kept.open(context)?;
    if let Some(warning) = access::warning(&access, &launch.host) {
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
        return detached.start();
    }
    let log = args.log_file.as_deref().map(create_log).transpose()?;
    let view = View::new(context.verbosity, args.json, log);
    let made = (&sdk, &environment);
    let tells = !args.json && launch.frontend == Frontend::Mxfp4 && io::stdout().is_terminal();
    let key = access.keys.is_required().then_some(hidden_keys::VARIABLE);
    let mut server = mxfp4_launch::start(context, &launch, made, Box::new(view), access)?;
    match server.await_ready()? {
        Wait::Ready => {
            if tells {
                let url = launch.address().url();
                println!("{}", codex::lines(&launch.served_name(), &url, key));
            }
            Ok(server.end()?)
        }
        Wait::Ended(code) => Ok(code),
    }
}
