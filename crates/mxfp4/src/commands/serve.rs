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
    json: bool,
    /// Start the server in a session of its own and return; the log goes to --log-file [default: .mxfp4/serve-PORT.log]
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// With --detach, return once the server is ready; alone, start nothing and wait for the server at the address
    #[arg(long, conflicts_with = "dry_run")]
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
        return detached.start(without_detaching(std::env::args_os()));
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
}
