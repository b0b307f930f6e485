//! The command line, and what each command needs before it runs.

use std::path::PathBuf;

use clap::{ArgAction, ColorChoice, CommandFactory, Parser, Subcommand};
use mxfp4_env::Ambient;

use crate::commands::{
    allow, bench, build, bundle, chat, clean, code, completions, demo, doctor, env, fmt, hook,
    hook_env, init, man, model, run, serve, setup, shell, test, vscode, warm,
};
use crate::context::{Context, Place};
use crate::ui::json_error::JsonError;

/// Run GPT-OSS in MXFP4 on Hopper GPUs with MAX and Mojo.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(disable_version_flag = true, arg_required_else_help = true)]
pub struct Cli {
    /// The workspace's root, instead of searching from the current folder upward [env: MXFP4_ROOT]
    #[arg(long, global = true, value_name = "PATH")]
    pub root: Option<PathBuf>,
    /// Say which programs are run, with their variables; twice, also when, and what decided it
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but warnings, errors and results
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print the version, and those of MAX and Mojo in this workspace
    #[arg(long)]
    pub version: bool,
    /// Print the version alone
    #[arg(short = 'V', action = ArgAction::Version)]
    short_version: Option<bool>,
    /// When to write in color; with auto a terminal decides, and before it NO_COLOR and CLICOLOR_FORCE
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands, in the order in which they are listed.
#[derive(Subcommand)]
pub enum Command {
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
    Model(model::Args),
    Doctor(doctor::Args),
    Vscode(vscode::Args),
    Code(code::Args),
    Fmt(fmt::Args),
    Clean(clean::Args),
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

type Ran = anyhow::Result<i32>;

/// A command that is ready to run, by what it needs.
pub enum Task {
    /// Nothing but variables: it answers in a folder that is gone, too.
    Anywhere(Box<dyn FnOnce(&Ambient) -> Ran>),
    /// The current folder. It looks for a workspace itself, if it uses one.
    Place(Box<dyn FnOnce(Place) -> Ran>),
    /// A workspace.
    Workspace(Box<dyn FnOnce(Context) -> Ran>),
}

impl Command {
    /// How it says in JSON that it failed, where JSON is asked for.
    pub fn json_error(&self) -> Option<JsonError> {
        let (is_json, form) = match self {
            Self::Env(args) => (args.json, JsonError::Result),
            Self::Doctor(args) => (args.json, JsonError::Result),
            Self::Chat(args) => (args.json, JsonError::Result),
            Self::Build(args) => (args.build.message_format.is_json(), JsonError::Message),
            Self::Test(args) => (args.message_format.is_json(), JsonError::Message),
            Self::Serve(args) => (args.json, JsonError::Event),
            _ => return None,
        };
        is_json.then_some(form)
    }

    /// What is to be run.
    pub fn task(self) -> Task {
        match self {
            Self::Setup(args) => in_workspace(|context| setup::run(context, args)),
            Self::Env(args) if args.unset => anywhere(move |ambient| env::unset(ambient, &args)),
            Self::Env(args) => in_workspace(|context| env::run(context, args)),
            Self::Run(args) => in_workspace(|context| run::run(context, args)),
            Self::Shell(args) => in_workspace(|context| shell::run(context, args)),
            Self::Hook(args) => anywhere(move |_| hook::run(&args)),
            Self::HookEnv(args) => anywhere(move |ambient| hook_env::run(ambient, &args)),
            Self::Allow(args) => in_workspace(|context| allow::run(context, args)),
            Self::Deny(_) => Task::Place(Box::new(|place| allow::deny(&place))),
            Self::Build(args) => Task::Workspace(Box::new(|context| build::run(context, args))),
            Self::Test(args) => in_workspace(|context| test::run(context, args)),
            Self::Serve(args) => in_workspace(|context| serve::run(context, *args)),
            Self::Warm(args) => in_workspace(|context| warm::run(context, args)),
            Self::Demo(args) => in_workspace(|context| demo::run(context, args)),
            Self::Bench(args) => in_workspace(|context| bench::run(context, *args)),
            Self::Model(args) => Task::Place(Box::new(move |place| model::run(&place, args))),
            Self::Doctor(args) => in_workspace(|context| doctor::run(context, args)),
            Self::Vscode(args) => in_workspace(|context| vscode::run(context, args)),
            Self::Code(args) => in_workspace(|context| code::run(context, args)),
            Self::Fmt(args) => in_workspace(|context| fmt::run(context, args)),
            Self::Clean(args) => in_workspace(|context| clean::run(context, args)),
            Self::Chat(args) => Task::Place(Box::new(|place| chat::run(place, *args))),
            Self::Init(args) => Task::Place(Box::new(|place| init::run(&place.cwd, args))),
            Self::Completions(args) => anywhere(|_| completions::run(args, Cli::command())),
            Self::Man(args) => anywhere(|_| man::run(args, Cli::command())),
            Self::Bundle(args) => Task::Place(Box::new(|place| bundle::run(place, args))),
        }
    }
}

fn anywhere(run: impl FnOnce(&Ambient) -> Ran + 'static) -> Task {
    Task::Anywhere(Box::new(run))
}

fn in_workspace(run: impl FnOnce(&Context) -> Ran + 'static) -> Task {
    Task::Workspace(Box::new(move |context| run(&context)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
