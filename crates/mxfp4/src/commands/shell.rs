//! `mxfp4 shell`

mod login;
mod startup;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;

use mxfp4_env::restore;
use mxfp4_process::Command;

use crate::commands::env;
use crate::commands::run::become_program;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::ui::log;

/// The variable that says that a shell was started by this command, and for which root.
pub const VARIABLE: &str = "MXFP4_SHELL";

/// Start a shell in the workspace's environment; `exit` leaves it.
///
/// In bash, zsh, fish and nu it comes on top of what the shell's start-up files set.
/// The prompt hook leaves such a shell alone, in whatever folder it is.
#[derive(clap::Args)]
pub struct Args {
    /// The shell to start [default: $SHELL, or sh].
    #[arg(long, value_name = "PROGRAM")]
    shell: Option<OsString>,
    /// Fail, with exit code 4, where there is no SDK.
    #[arg(long)]
    strict: bool,
    /// Run the device synchronously, so that an error is reported where it happens.
    #[arg(long)]
    debug: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let root = &context.workspace.root;
    if context.ambient.get(VARIABLE) == Some(root.as_os_str()) {
        let message = format!(
            "this is the shell of {} already; leave it with `exit` first, or bring its variables up to date with \
             eval \"$(mxfp4 env)\"",
            root.display()
        );
        return Err(Failure::new(Exit::Failed, message).into());
    }
    let (_, environment) = env::compute(context, args.strict, args.debug)?;
    let program = args
        .shell
        .or_else(|| context.ambient.get_nonempty("SHELL").map(OsString::from))
        .unwrap_or_else(|| "sh".into());
    if !context.is_quiet() {
        eprintln!(
            "{} in the environment of {}; leave it with `exit`",
            program.display(),
            root.display()
        );
    }
    let command = Command::new(&program)
        .environment(&environment)
        .env(VARIABLE, root)
        .env_remove(restore::HOOK);
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        let advice = login::advice(&context.ambient, Path::new(&program));
        if let Some(advice) = advice.filter(|_| !context.is_quiet()) {
            eprintln!("{advice}");
        }
        match startup::after_start_up_files(&command, Path::new(&program), context) {
            // Evaluating the environment warns as well.
            Ok(Some(command)) => return Ok(become_program(command)),
            Ok(None) => {}
            Err(error) => tracing::warn!(
                "what the shell's start-up files put on PATH comes before the workspace's programs: cannot write to \
                 {}: {error}",
                context.workspace.state_dir().display()
            ),
        }
    }
    log::warnings(&environment);
    Ok(become_program(command))
}
