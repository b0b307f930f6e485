//! `mxfp4`: set up, build, test and serve GPT-OSS in MXFP4 on Hopper GPUs.

#[macro_use]
mod print;

mod allow;
mod bench;
mod build;
mod code;
mod context;
mod demo;
mod doctor;
mod duration;
mod env;
mod exit;
mod hook;
mod hook_env;
mod message_format;
mod progress;
mod run;
mod serve;
mod setup;
mod shell;
mod test;
mod version;
mod vscode;
mod warm;

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use mxfp4_env::workspace::logical_cwd;
use mxfp4_env::{Ambient, Workspace};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::context::{Context, Verbosity};
use crate::exit::{Exit, ExitContext, Failure};

/// Run GPT-OSS in MXFP4 on Hopper GPUs with MAX and Mojo.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(disable_version_flag = true, arg_required_else_help = true)]
struct Cli {
    /// The workspace's root, instead of searching from the current folder upward [env: MXFP4_ROOT]
    #[arg(long, global = true, value_name = "PATH")]
    root: Option<PathBuf>,
    /// Say more.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Say nothing but warnings, errors and results.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print the version, and those of MAX and Mojo in this workspace
    #[arg(long)]
    version: bool,
    /// Print the version alone
    #[arg(short = 'V', action = ArgAction::Version)]
    short_version: Option<bool>,
    #[command(subcommand)]
    command: Option<Command>,
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
    Serve(serve::Args),
    Warm(warm::Args),
    Demo(demo::Args),
    Bench(bench::Args),
    Doctor(doctor::Args),
    Vscode(vscode::Args),
    Code(code::Args),
}

const EXIT_CODES: &str = "\
Exit codes:
  0      success
  1      the work failed: a build error, a failed test, a server that died
  2      the command line is wrong
  3      mxfp4.toml is wrong, or there is no workspace
  4      there is no SDK, or it could not be made
  5      serving or measuring lacks something: Hopper GPU, memory, port, model, kernel package
  128+n  ended by signal n";

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => ExitCode::from(code.clamp(0, 255) as u8),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", message(&error));
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
    start_logging(verbosity);
    let ambient = Ambient::current();
    // What is needed in any folder, whatever workspace it is in.
    match &cli.command {
        Some(Command::Env(args)) if args.unset => return env::unset(&ambient, args),
        Some(Command::Hook(args)) => return hook::run(args),
        Some(Command::HookEnv(args)) => return hook_env::run(&ambient, args),
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
    if let Command::Deny(_) = command {
        let (root, _) = Workspace::locate(root.as_deref(), &cwd)?;
        return allow::deny(&ambient, &root, cli.quiet);
    }
    if let Some(grace) = ambient.get_nonempty("MXFP4_GRACE") {
        let grace = duration::parse(&grace.to_string_lossy())
            .map_err(|wrong| Failure::new(Exit::Usage, format!("MXFP4_GRACE: {wrong}")))?;
        mxfp4_process::set_grace(grace);
    }
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
        Command::Serve(args) => serve::run(&context, args),
        Command::Warm(args) => warm::run(&context, args),
        Command::Demo(args) => demo::run(&context, args),
        Command::Bench(args) => bench::run(&context, args),
        Command::Doctor(args) => doctor::run(&context, args),
        Command::Vscode(args) => vscode::run(&context, args),
        Command::Code(args) => code::run(&context, args),
    }
}

/// Log lines go to stderr: stdout belongs to what a command was asked to print.
fn start_logging(verbosity: Verbosity) {
    let level = match verbosity {
        Verbosity::Quiet => tracing::Level::WARN,
        Verbosity::Normal => tracing::Level::INFO,
        Verbosity::Verbose => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_max_level(level)
        .event_format(Line)
        .init();
}

/// A log line as a person reads it: `warning: ...`, and what is no news without a prefix.
struct Line;

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
    ) -> fmt::Result {
        let (prefix, color) = match *event.metadata().level() {
            tracing::Level::ERROR => ("error: ", "\x1b[1;31m"),
            tracing::Level::WARN => ("warning: ", "\x1b[1;33m"),
            _ => ("", ""),
        };
        if writer.has_ansi_escapes() && !color.is_empty() {
            write!(writer, "{color}{prefix}\x1b[0m")?;
        } else {
            writer.write_str(prefix)?;
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
