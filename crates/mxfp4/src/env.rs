//! `mxfp4 env`

use std::io::Write;

use clap::ValueEnum;
use mxfp4_env::{Error, Options, Sdk, render};

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Print the workspace's environment for a shell to evaluate: eval "$(mxfp4 env)"
///
/// It names the workspace's Mojo sources, Python packages and built kernel
/// packages, and the SDK's programs, before anything that is set already.
/// Evaluating it twice changes nothing. No program is started.
#[derive(clap::Args)]
pub struct Args {
    /// The language to print: code for a shell, or a JSON object of names and values.
    #[arg(long, value_enum, default_value_t = Shell::Posix, value_name = "SHELL")]
    shell: Shell,
    /// Print JSON; the same as `--shell json`.
    #[arg(long, conflicts_with = "shell")]
    json: bool,
    /// Print each variable with the reason for its value, for reading (or, with `--json`, as JSON).
    #[arg(long)]
    explain: bool,
    /// Fail, with exit code 4, where there is no SDK.
    #[arg(long)]
    strict: bool,
    /// Run the device synchronously, so that an error is reported where it happens.
    #[arg(long)]
    debug: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// Any POSIX shell.
    #[value(aliases = ["sh", "dash", "ksh"])]
    Posix,
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// A JSON object.
    Json,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let sdk = find_sdk(context, args.strict)?;
    let options = Options {
        debug: args.debug,
        serving: false,
    };
    let environment = context.environment(sdk.as_ref(), options)?;
    let json = args.json || args.shell == Shell::Json;
    let workspace = &context.workspace;
    let text = match (args.explain, json) {
        (true, true) => render::json_explained(workspace, sdk.as_ref(), &environment).into_bytes(),
        (true, false) => render::explain(workspace, sdk.as_ref(), &environment).into_bytes(),
        (false, true) => render::json(&environment).into_bytes(),
        (false, false) => render::posix(&environment),
    };
    for warning in &environment.warnings {
        tracing::warn!("{warning}");
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()?;
    Ok(0)
}

/// The SDK, or none: what is known without one is worth printing.
fn find_sdk(context: &Context, strict: bool) -> anyhow::Result<Option<Sdk>> {
    match context.sdk() {
        Ok(None) if strict => Err(Failure::new(
            Exit::Sdk,
            "no MAX and Mojo SDK found; run `mxfp4 setup`, or name one with MXFP4_SDK",
        )
        .into()),
        Err(error @ Error::Sdk(_)) if !strict => {
            tracing::warn!("{error}");
            Ok(None)
        }
        found => Ok(found?),
    }
}
