//! What commands work with: the SDK and the kernel packages, made where they are missing.

use mxfp4_env::sdk::SdkSource;
use mxfp4_env::{Layout, Platform, Sdk};
use mxfp4_toolchain::build::{self, Event, Options};
use mxfp4_toolchain::setup::{self, State};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::ui::message_format::MessageFormat;

/// The SDK to work with, made or brought up to date first where `mxfp4 setup` has made it and `no_setup` does not
/// forbid it.
pub fn ensure_sdk(context: &Context, no_setup: bool) -> anyhow::Result<Sdk> {
    Platform::current()
        .check()
        .map_err(mxfp4_env::Error::from)?;
    let state = match context.sdk()? {
        // Whichever is used by name or for want of our own is not ours to change.
        Some(sdk) if sdk.source != SdkSource::Workspace => return Ok(sdk),
        Some(sdk) if context.workspace.layout == Layout::Modular => return Ok(sdk),
        Some(sdk) => match setup::state(&context.workspace)? {
            State::Outdated if no_setup => {
                tracing::warn!(
                    "{} is older than python/uv.lock; `mxfp4 setup` makes it anew",
                    context.workspace.venv_dir().display()
                );
                return Ok(sdk);
            }
            State::Outdated | State::Missing => "outdated",
            State::Fresh | State::Foreign => return Ok(sdk),
        },
        None => "missing",
    };
    if no_setup {
        let message = format!("the SDK is {state} and --no-setup forbids to make it");
        return Err(Failure::new(Exit::Sdk, message)
            .with_hint(
                "run `mxfp4 setup`, or name an SDK with MXFP4_SDK or `sdk.path` in mxfp4.toml",
            )
            .into());
    }
    setup::ensure(context)?;
    made(context)
}

/// The SDK that `mxfp4 setup` has made.
pub fn made(context: &Context) -> anyhow::Result<Sdk> {
    context.sdk()?.ok_or_else(|| {
        let venv = context.workspace.venv_dir();
        let message = format!(
            "{} was made, but holds no SDK that works here",
            venv.display()
        );
        Failure::new(Exit::Sdk, message).into()
    })
}

/// Builds the kernel packages that are not fresh: with `sdk` in a standalone workspace, with Bazel in a Modular
/// checkout.
pub fn ensure_built(context: &Context, sdk: Option<&Sdk>) -> anyhow::Result<()> {
    ensure_built_with(context, sdk, &Options::default(), &mut |event| {
        MessageFormat::Human.event(&event);
    })
}

/// The same, in another way and with what happens handed to `on_event`.
pub fn ensure_built_with(
    context: &Context,
    sdk: Option<&Sdk>,
    options: &Options,
    on_event: &mut dyn FnMut(Event),
) -> anyhow::Result<()> {
    Platform::current()
        .check()
        .map_err(mxfp4_env::Error::from)?;
    match (context.workspace.layout, sdk) {
        (Layout::Modular, _) => {
            refuse_what_is_bazels(options)?;
            build::modular(context, options)?;
        }
        (Layout::Standalone, Some(sdk)) => {
            let environment = context.environment(Some(sdk), mxfp4_env::Options::default())?;
            build::standalone(context, sdk, &environment, options, on_event)?;
        }
        (Layout::Standalone, None) => anyhow::bail!("a standalone workspace builds with an SDK"),
    }
    Ok(())
}

fn refuse_what_is_bazels(options: &Options) -> anyhow::Result<()> {
    let (wrong, hint) = if options.clean {
        (
            "--clean is Bazel's own affair in a Modular checkout",
            "`./bazelw clean` empties the outputs of the whole checkout",
        )
    } else if options.accelerator.is_some() {
        (
            "--target-accelerator is a flag of the Mojo compiler, and in a Modular checkout Bazel runs it",
            "choose the accelerator with `bazel.flags` of mxfp4.toml",
        )
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Usage, wrong).with_hint(hint).into())
}
