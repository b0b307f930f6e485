//! `mxfp4 setup`

use std::io::{self, Write};

use mxfp4_env::config::Version;
use mxfp4_env::sdk::SdkSource;
use mxfp4_env::{Layout, Platform, Sdk};
use mxfp4_toolchain::setup::{self, State};
use mxfp4_toolchain::upgrade::{self, Change, Versions};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::prepare::made;

/// Make the SDK inside the workspace from the lock file.
///
/// The SDK is a virtual environment, .venv, made with uv from python/uv.lock: uv is the one on PATH, or is installed
/// into .mxfp4/tools. Nothing happens when it is there and the lock file has not changed. Nothing outside the workspace
/// is touched but uv's cache, and no Python is downloaded. In a Modular checkout nothing is made: its own environment,
/// or the active one, is the SDK.
#[derive(clap::Args)]
pub struct Args {
    /// Move to the newest MAX and Mojo first: in mxfp4.toml, python/pyproject.toml and python/uv.lock together, or, when
    /// that or the setup fails, in none of them
    #[arg(long)]
    upgrade: bool,
    /// Move to this version of MAX, newer or older; Mojo follows it
    #[arg(long, value_name = "VERSION", requires = "upgrade")]
    max: Option<String>,
    /// Move to this version of Mojo; MAX follows it
    #[arg(long, value_name = "VERSION", requires = "upgrade")]
    mojo: Option<String>,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    Platform::current()
        .check()
        .map_err(mxfp4_env::Error::from)?;
    if args.upgrade {
        return upgrade(context, args);
    }
    let found = context.sdk()?;
    let sdk = match found {
        Some(sdk) if !is_made_by_setup(context, &sdk)? => sdk,
        _ => {
            setup::ensure(context)?;
            made(context)?
        }
    };
    if !context.is_quiet() {
        eprintln!("SDK: {} ({})", sdk.modular.display(), sdk.source);
    }
    Ok(0)
}

/// Moves the pins, and makes the SDK from them where it is `mxfp4 setup` that makes it.
fn upgrade(context: &Context, args: Args) -> anyhow::Result<i32> {
    if context.workspace.layout == Layout::Modular {
        let message = "a Modular checkout pins no MAX and Mojo of ours: it has its own";
        return Err(Failure::new(Exit::Config, message).into());
    }
    let version = |flag: &str, text: Option<String>| {
        text.map(|text| {
            text.parse::<Version>()
                .map_err(|wrong| Failure::new(Exit::Usage, format!("{flag} {text}: it {wrong}")))
        })
        .transpose()
    };
    let versions = Versions {
        max: version("--max", args.max)?,
        mojo: version("--mojo", args.mojo)?,
    };
    let upgrade = upgrade::upgrade(context, &versions)?;
    let changes = upgrade.changes.clone();
    let named = context.ambient.get_nonempty("MXFP4_SDK").is_some()
        || context.workspace.config.sdk.path.is_some();
    if named {
        tracing::warn!(
            "MXFP4_SDK or `sdk.path` names another SDK, which stays as it is; without them `mxfp4 setup` makes one"
        );
    } else {
        let moved = Context {
            workspace: upgrade.workspace.clone(),
            ..context.clone()
        };
        if let Err(error) = setup::ensure(&moved) {
            upgrade.undo()?;
            return Err(error.into());
        }
    }
    let mut stdout = io::stdout().lock();
    for Change { package, from, to } in &changes {
        writeln!(stdout, "{package} {from} -> {to}")?;
    }
    if changes.is_empty() {
        let sdk = &context.workspace.config.sdk;
        writeln!(stdout, "max {} and mojo {} stay", sdk.max, sdk.mojo)?;
    }
    Ok(0)
}

/// Whether `mxfp4 setup` is what brings `sdk` up to date, or makes a better one: one that is merely active, or on PATH,
/// is used for want of the workspace's own.
fn is_made_by_setup(context: &Context, sdk: &Sdk) -> anyhow::Result<bool> {
    if context.workspace.layout == Layout::Modular {
        return Ok(false);
    }
    Ok(match sdk.source {
        SdkSource::Variable | SdkSource::Config => false,
        SdkSource::Workspace => setup::state(&context.workspace)? != State::Foreign,
        SdkSource::Active(_) | SdkSource::Path => true,
    })
}
