//! One build.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use mxfp4_env::Layout;
use serde_json::json;

use super::args::BuildArgs;
use crate::context::Context;
use crate::prepare::{ensure_built_with, ensure_sdk};
use crate::ui::message_format::print;

/// Builds and prints the packages.
pub fn build(context: &Context, args: &BuildArgs, no_setup: bool) -> anyhow::Result<()> {
    let sdk = match context.workspace.layout {
        Layout::Standalone => Some(ensure_sdk(context, no_setup)?),
        // Bazel brings its own compiler.
        Layout::Modular => context.sdk()?,
    };
    let format = args.message_format;
    let built = ensure_built_with(context, sdk.as_ref(), &args.options(), &mut |event| {
        format.event(&event);
    });
    if format.is_json() {
        if built.is_ok() && context.workspace.layout == Layout::Modular {
            for path in context.workspace.kernel_packages() {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                // Whether Bazel made them now or before, Bazel knows.
                print(&json!({
                    "reason": "compiler-artifact",
                    "package": name,
                    "path": path.to_string_lossy(),
                    "fresh": null,
                }));
            }
        }
        print(&json!({"reason": "build-finished", "success": built.is_ok()}));
        return built;
    }
    built?;
    let environment = context.environment(sdk.as_ref(), mxfp4_env::Options::default())?;
    let packages = environment.get("MAX_CUSTOM_EXTENSIONS").unwrap_or_default();
    print_paths(packages)
}

/// Prints a list of paths, one a line.
fn print_paths(paths: &OsStr) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    for path in paths.as_bytes().split(|&byte| byte == b':') {
        if path.is_empty() {
            continue;
        }
        stdout.write_all(path)?;
        stdout.write_all(b"\n")?;
    }
    Ok(())
}
