//! `mxfp4 build`

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use mxfp4_env::{Layout, Options, Platform, Sdk};
use mxfp4_toolchain::build;

use crate::context::Context;
use crate::setup::ensure_sdk;

/// Build the kernel packages and print their paths.
///
/// Prints the absolute path of each kernel package on stdout, one a line: what MAX_CUSTOM_EXTENSIONS then holds. A
/// package is built when a source, the compiler or a flag has changed since. When a build fails, the last good package
/// stays. In a Modular checkout ./bazelw builds.
#[derive(clap::Args)]
pub struct Args {
    /// Fail where the SDK is missing, instead of making it.
    #[arg(long)]
    no_setup: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let sdk = match context.workspace.layout {
        Layout::Standalone => Some(ensure_sdk(context, args.no_setup)?),
        // Bazel brings its own compiler.
        Layout::Modular => context.sdk()?,
    };
    ensure_built(context, sdk.as_ref())?;
    let environment = context.environment(sdk.as_ref(), Options::default())?;
    let packages = environment.get("MAX_CUSTOM_EXTENSIONS").unwrap_or_default();
    let mut stdout = io::stdout().lock();
    for package in packages.as_bytes().split(|&byte| byte == b':') {
        if package.is_empty() {
            continue;
        }
        stdout.write_all(package)?;
        stdout.write_all(b"\n")?;
    }
    Ok(0)
}

/// Builds the kernel packages that are not fresh: with `sdk` in a standalone workspace, with Bazel in a Modular
/// checkout.
pub fn ensure_built(context: &Context, sdk: Option<&Sdk>) -> anyhow::Result<()> {
    Platform::current().check()?;
    match (context.workspace.layout, sdk) {
        (Layout::Modular, _) => build::modular(context.job())?,
        (Layout::Standalone, Some(sdk)) => {
            let environment = context.environment(Some(sdk), Options::default())?;
            build::standalone(context.job(), sdk, &environment)?;
        }
        (Layout::Standalone, None) => anyhow::bail!("a standalone workspace builds with an SDK"),
    }
    Ok(())
}
