//! `mxfp4 build`

mod watch;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use mxfp4_env::Layout;
use mxfp4_toolchain::build::{Options, Profile};
use serde_json::json;

use crate::commands::test;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::prepare::{ensure_built_with, ensure_sdk};
use crate::ui::message_format::{MessageFormat, print};

/// Build the kernel packages and print their paths.
///
/// Prints the absolute path of each kernel package on stdout, one a line: what MAX_CUSTOM_EXTENSIONS then holds. A
/// package is built when a source, the compiler or a flag has changed since. When a build fails, the last good package
/// stays. In a Modular checkout ./bazelw builds.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    how: How,
    /// Build and run the tests, and again whenever a source, a test or mxfp4.toml is saved.
    #[arg(long)]
    watch: bool,
    /// With --watch: only build.
    #[arg(long, requires = "watch")]
    no_test: bool,
    /// Fail where the SDK is missing, instead of making it.
    #[arg(long)]
    no_setup: bool,
    #[command(flatten, next_help_heading = "Tests of --watch")]
    tests: test::How,
}

/// How to build.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "how_to_build", multiple = true)]
pub struct How {
    /// Compile GPU code for this accelerator, such as sm_90a: the compile_*.mojo of the tests, and the packages where the
    /// compiler takes it for them.
    #[arg(long, value_name = "ARCH")]
    target_accelerator: Option<String>,
    /// Build optimized, which is the default; with Bazel --compilation_mode=opt.
    #[arg(long, conflicts_with = "debug")]
    release: bool,
    /// Build for a debugger: debug information and no optimization; with Bazel --compilation_mode=dbg.
    #[arg(long)]
    debug: bool,
    /// Build everything anew.
    #[arg(long)]
    clean: bool,
    /// What is printed: for a person, or one JSON object a line for a program (docs/guides/building.md).
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    message_format: MessageFormat,
}

/// Runs the command.
pub fn run(context: Context, args: Args) -> anyhow::Result<i32> {
    if args.watch {
        return watch::run(context, &args);
    }
    if args.tests.is_given() {
        let message =
            "which tests are run, and how, is for --watch or `mxfp4 test`: a plain build runs none";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    build(&context, &args.how, args.no_setup)?;
    Ok(0)
}

/// Builds and prints the packages.
fn build(context: &Context, how: &How, no_setup: bool) -> anyhow::Result<()> {
    let sdk = match context.workspace.layout {
        Layout::Standalone => Some(ensure_sdk(context, no_setup)?),
        // Bazel brings its own compiler.
        Layout::Modular => context.sdk()?,
    };
    let format = how.message_format;
    let built = ensure_built_with(context, sdk.as_ref(), &how.options(), &mut |event| {
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

impl How {
    fn options(&self) -> Options {
        Options {
            accelerator: self.target_accelerator.clone(),
            profile: match (self.release, self.debug) {
                (true, _) => Some(Profile::Release),
                (_, true) => Some(Profile::Debug),
                _ => None,
            },
            clean: self.clean,
        }
    }
}
