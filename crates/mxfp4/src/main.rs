//! `mxfp4`: set up, build, test and serve GPT-OSS in MXFP4 on Hopper GPUs.

#[macro_use]
mod print;

mod allow;
mod bench;
mod build;
mod bundle;
mod chat;
mod clean;
mod code;
mod color;
mod completions;
mod context;
mod demo;
mod doctor;
mod duration;
mod env;
mod exit;
mod fmt;
mod hidden_keys;
mod hook;
mod hook_env;
mod http;
mod init;
mod man;
mod message_format;
mod progress;
mod run;
mod serve;
mod setup;
mod shell;
mod state;
mod test;
mod version;
mod visible;
mod vscode;
mod warm;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::error::ErrorKind;
use clap::{ArgAction, ColorChoice, CommandFactory, Parser, Subcommand};
use mxfp4_env::workspace::logical_cwd;
use mxfp4_env::{Ambient, Workspace};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::context::{Context, Verbosity};
use crate::exit::{Exit, ExitContext, Failure};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Run GPT-OSS in MXFP4 on Hopper GPUs with MAX and Mojo.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(disable_version_flag = true, arg_required_else_help = true)]
struct Cli {
    /// The workspace's root, instead of searching from the current folder upward [env: MXFP4_ROOT]
    #[arg(long, global = true, value_name = "PATH")]
    root: Option<PathBuf>,
    /// Say which programs are run, with their variables; twice, also when, and what decided it
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Say nothing but warnings, errors and results
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print the version, and those of MAX and Mojo in this workspace
    #[arg(long)]
    version: bool,
    /// Print the version alone
    #[arg(short = 'V', action = ArgAction::Version)]
    short_version: Option<bool>,
    /// When to write in color; with auto a terminal decides, and before it NO_COLOR and CLICOLOR_FORCE
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    #[command(subcommand)]
    command: Option<AnyCommand>,
}

#[derive(Subcommand)]
enum AnyCommand {
    #[command(flatten)]
    InWorkspace(Command),
    #[command(flatten)]
    Anywhere(Anywhere),
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Args),
    Env(env::Args),
    Run(run::Args),
    Shell(shell::Args),
    Hook(hook::Args),
    Allow(allow::Args),
    Deny(allow::DenyArgs),
    #[command(hide = true)]
    HookEnv(hook_env::Args),
    Build(build::Args),
    Test(test::Args),
    Serve(Box<serve::Args>),
    Warm(warm::Args),
    Demo(demo::Args),
    Bench(Box<bench::Args>),
    Doctor(doctor::Args),
    Vscode(vscode::Args),
    Code(code::Args),
    Fmt(fmt::Args),
    Clean(clean::Args),
}

/// What needs no workspace.
#[derive(Subcommand)]
enum Anywhere {
    Chat(Box<chat::Args>),
    Init(init::Args),
    Completions(completions::Args),
    Man(man::Args),
    Bundle(bundle::Args),
}

const EXIT_CODES: &str = "\
Exit codes:
  0      success
  1      the work failed: a build error, a failed test, a server that died
  2      the command line is wrong
  3      mxfp4.toml is wrong, or there is no workspace
  4      there is no SDK, or it could not be made
  5      something needed is missing: Hopper GPU, memory, port, model, kernel package, server, key
  128+n  ended by signal n";

fn main() -> ExitCode {
    color::follow_unparsed(std::env::args_os().skip(1));
    if let Err(error) = hidden_keys::hide() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    color::follow(cli.color);
    match run(cli) {
        Ok(code) => ExitCode::from(code.clamp(0, 255) as u8),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let prefix = color::styled(color::ERROR, "error:");
            eprintln!("{prefix} {}", message(&error));
            ExitCode::from(exit::code_of(&error))
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<i32> {
    let verbosity = match (cli.quiet, cli.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, _) => Verbosity::Verbose,
    };
    start_logging(verbosity, cli.verbose > 1);
    let ambient = Ambient::current();
    // What is needed in any folder, whatever workspace it is in.
    match &cli.command {
        Some(AnyCommand::InWorkspace(Command::Env(args))) if args.unset => {
            return env::unset(&ambient, args);
        }
        Some(AnyCommand::InWorkspace(Command::Hook(args))) => return hook::run(args),
        Some(AnyCommand::InWorkspace(Command::HookEnv(args))) => {
            return hook_env::run(&ambient, args);
        }
        _ => {}
    }
    let cwd = std::env::current_dir().or_exit(Exit::Config, "cannot tell the current folder")?;
    let cwd = logical_cwd(cwd, &ambient);
    let root = cli
        .root
        .or_else(|| ambient.get_nonempty("MXFP4_ROOT").map(PathBuf::from));
    if cli.version {
        println!("{}", version::full(root.as_deref(), &cwd, &ambient));
        return Ok(0);
    }
    let Some(command) = cli.command else {
        let missing = ErrorKind::MissingSubcommand;
        Cli::command()
            .error(missing, "a command is missing; `mxfp4 help` lists them")
            .exit();
    };
    let command = match command {
        AnyCommand::InWorkspace(command) => command,
        AnyCommand::Anywhere(Anywhere::Chat(args)) => {
            follow_grace(&ambient)?;
            let place = chat::Place {
                root,
                cwd,
                ambient,
                verbosity,
            };
            return chat::run(place, *args);
        }
        AnyCommand::Anywhere(Anywhere::Init(args)) => return init::run(&cwd, args),
        AnyCommand::Anywhere(Anywhere::Completions(args)) => return completions::run(args),
        AnyCommand::Anywhere(Anywhere::Man(args)) => return man::run(args),
        AnyCommand::Anywhere(Anywhere::Bundle(args)) => {
            return bundle::run(root.as_deref(), cwd, ambient, verbosity, args);
        }
    };
    if let Command::Deny(_) = command {
        let (root, _) = Workspace::locate(root.as_deref(), &cwd)?;
        return allow::deny(&ambient, &root, cli.quiet);
    }
    follow_grace(&ambient)?;
    let context = Context {
        workspace: Workspace::find(root.as_deref(), &cwd)?,
        ambient,
        cwd,
        verbosity,
    };
    match command {
        Command::Setup(args) => setup::run(&context, args),
        Command::Env(args) => env::run(&context, args),
        Command::Run(args) => run::run(&context, args),
        Command::Shell(args) => shell::run(&context, args),
        Command::Allow(args) => allow::run(&context, args),
        Command::Deny(_) | Command::Hook(_) | Command::HookEnv(_) => {
            unreachable!("they were run above")
        }
        Command::Build(args) => build::run(context, args),
        Command::Test(args) => test::run(&context, args),
        Command::Serve(args) => serve::run(&context, *args),
        Command::Warm(args) => warm::run(&context, args),
        Command::Demo(args) => demo::run(&context, args),
        Command::Bench(args) => bench::run(&context, *args),
        Command::Doctor(args) => doctor::run(&context, args),
        Command::Vscode(args) => vscode::run(&context, args),
        Command::Code(args) => code::run(&context, args),
        Command::Fmt(args) => fmt::run(&context, args),
        Command::Clean(args) => clean::run(&context, args),
    }
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

/// Log lines go to stderr: stdout belongs to what a command was asked to print. `timed` is for who wants to know it
/// all.
fn start_logging(verbosity: Verbosity, timed: bool) {
    let level = match verbosity {
        Verbosity::Quiet => tracing::Level::WARN,
        Verbosity::Normal => tracing::Level::INFO,
        Verbosity::Verbose if timed => tracing::Level::TRACE,
        Verbosity::Verbose => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_writer(serve::access_log::Writer)
        .with_ansi(color::on_stderr())
        .with_max_level(level)
        .event_format(Line {
            since: timed.then(Instant::now),
        })
        .init();
}

/// A log line as a person reads it: `warning: ...`, and what is no news without a prefix.
struct Line {
    /// What the time before each line counts from.
    since: Option<Instant>,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        if let Some(since) = self.since {
            write!(writer, "{:8.3} ", since.elapsed().as_secs_f64())?;
        }
        match *event.metadata().level() {
            tracing::Level::ERROR => write!(writer, "{} ", color::styled(color::ERROR, "error:"))?,
            tracing::Level::WARN => {
                write!(writer, "{} ", color::styled(color::WARNING, "warning:"))?
            }
            _ => {}
        }
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// The error and its causes, each said once, without a backtrace.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A reader that closed its end (`mxfp4 env | head -1`) got what it wanted.
///
/// Only an error that nothing was added to comes from writing a result to
/// stdout: a server or a child that hung up is told with what was being done.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().len() == 1
        && error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file")
            .context("cannot read x: no such file")
            .context("cannot start");
        assert_eq!(message(&error), "cannot start: cannot read x: no such file");
    }

    #[test]
    fn only_a_bare_broken_pipe_is_success() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&broken().into()));
        assert!(!is_broken_pipe(
            &anyhow::Error::from(broken()).context("cannot ask the server")
        ));
        assert!(!is_broken_pipe(
            &io::Error::from(io::ErrorKind::StorageFull).into()
        ));
    }
}
