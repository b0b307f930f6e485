//! `mxfp4 env`

mod language;

use std::io::Write;

use mxfp4_env::{Ambient, Environment, Options, Sdk, render};

pub use self::language::Language;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::ui::error::hinted;
use crate::ui::log;

/// Print the workspace's environment for a shell to evaluate: eval "$(mxfp4 env)"
///
/// It names the workspace's Mojo sources, Python packages and built kernel
/// packages, and the SDK's programs, before anything that is set already.
/// Evaluating it twice changes nothing, and what --unset prints takes it back.
/// No program is started.
#[derive(clap::Args)]
pub struct Args {
    /// The language to print: code for a shell, or a format of names and values
    /// [default: that of the shell that runs this, or posix].
    #[arg(long, value_enum, value_name = "SHELL")]
    shell: Option<Language>,
    /// Print a JSON object.
    #[arg(long, conflicts_with = "shell")]
    pub json: bool,
    /// Print what restores the variables as they were before the workspace was activated.
    #[arg(long, conflicts_with_all = ["explain", "strict", "debug"])]
    pub unset: bool,
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

impl Args {
    fn language(&self) -> Result<Language, Failure> {
        match (self.json, self.shell) {
            (true, _) => Ok(Language::Json),
            (false, Some(Language::Json)) => {
                Err(Failure::new(Exit::Usage, "JSON is no shell's language")
                    .with_hint("write `mxfp4 env --json`"))
            }
            (false, shell) => Ok(shell.unwrap_or_else(Language::of_parent)),
        }
    }
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let (sdk, mut environment) = compute(context, args.strict, args.debug)?;
    if args.explain {
        environment.explain_tests(&context.workspace, &context.ambient);
    }
    let language = args.language()?;
    let workspace = &context.workspace;
    let text = match (args.explain, language) {
        (true, Language::Json) => {
            render::json_explained(workspace, sdk.as_ref(), &environment).into_bytes()
        }
        (true, _) => render::explain(workspace, sdk.as_ref(), &environment).into_bytes(),
        (false, language) => language.render(&environment)?,
    };
    log::warnings(&environment);
    print(&text)
}

/// Runs `mxfp4 env --unset`, which needs no workspace.
pub fn unset(ambient: &Ambient, args: &Args) -> anyhow::Result<i32> {
    let language = args.language()?;
    if language == Language::Dotenv {
        let message = "a .env file cannot unset a variable; evaluate `mxfp4 env --unset` in the shell instead";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let environment = Environment::undo(ambient)?.unwrap_or_else(|| {
        tracing::info!("no workspace is active in this shell: there is nothing to restore");
        Environment::default()
    });
    print(&language.render(&environment)?)
}

/// The environment for a shell or for a program that the user runs: what it
/// changes is recorded in it.
pub fn compute(
    context: &Context,
    strict: bool,
    debug: bool,
) -> anyhow::Result<(Option<Sdk>, Environment)> {
    let sdk = find_sdk(context, strict)?;
    let options = Options {
        debug,
        reversible: true,
        ..Options::default()
    };
    let environment = context.environment(sdk.as_ref(), options)?;
    Ok((sdk, environment))
}

fn print(text: &[u8]) -> anyhow::Result<i32> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()?;
    Ok(0)
}

/// The SDK, or none: what is known without one is worth printing.
fn find_sdk(context: &Context, strict: bool) -> anyhow::Result<Option<Sdk>> {
    match context.sdk() {
        Ok(None) if strict => Err(Failure::new(Exit::Sdk, "no MAX and Mojo SDK found")
            .with_hint("run `mxfp4 setup`, or name one with MXFP4_SDK")
            .into()),
        Err(error) if !strict && error.exit() == Exit::Sdk => {
            tracing::warn!("{}", hinted(&error, error.hint()));
            Ok(None)
        }
        found => Ok(found?),
    }
}
