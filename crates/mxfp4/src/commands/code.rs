//! `mxfp4 code`

use std::ffi::OsString;

use mxfp4_env::Options;
use mxfp4_process::Command;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::ui::log;

/// Open VS Code in the workspace, with the workspace's environment.
///
/// The Mojo extension, its language server and every terminal of the window then find the SDK and the workspace's
/// packages, whatever shell started it. Arguments go to `code`: files to open, or its options.
#[derive(clap::Args)]
pub struct Args {
    /// Arguments for `code`
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    args: Vec<OsString>,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let path = context.ambient.get("PATH").unwrap_or_default();
    let code = which::which_in("code", Some(path), &context.cwd).map_err(|_| {
        Failure::new(
            Exit::Failed,
            "VS Code's `code` is not on PATH: install it from https://code.visualstudio.com, or where it is installed \
             run `Shell Command: Install 'code' command in PATH` from its command palette (F1)",
        )
    })?;
    let sdk = context.sdk()?;
    // Its terminals are shells.
    let options = Options {
        reversible: true,
        ..Options::default()
    };
    let environment = context.environment(sdk.as_ref(), options)?;
    log::warnings(&environment);
    let outcome = Command::new(code)
        .environment(&environment)
        .arg(&context.workspace.root)
        .args(args.args)
        .status()?;
    Ok(outcome.code())
}
