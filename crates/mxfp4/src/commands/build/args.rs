use mxfp4_toolchain::build::{Options, Profile};

use crate::commands::test::SelectArgs;
use crate::ui::message_format::MessageFormat;

/// Build the kernel packages and print their paths.
///
/// Prints the absolute path of each kernel package on stdout, one a line: what MAX_CUSTOM_EXTENSIONS then holds. A
/// package is built when a source, the compiler or a flag has changed since. When a build fails, the last good package
/// stays. In a Modular checkout ./bazelw builds.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub build: BuildArgs,
    /// Build and run the tests, and again whenever a source, a test or mxfp4.toml is saved.
    #[arg(long)]
    pub watch: bool,
    /// With --watch: only build.
    #[arg(long, requires = "watch")]
    pub no_test: bool,
    /// Fail where the SDK is missing, instead of making it.
    #[arg(long)]
    pub no_setup: bool,
    /// Run only tests whose name has EXPR in it, or is matched by it when it is /REGEX/.
    #[arg(
        long,
        value_name = "EXPR",
        requires = "watch",
        help_heading = "Tests of --watch"
    )]
    pub filter: Option<String>,
    #[command(flatten, next_help_heading = "Tests of --watch")]
    pub tests: SelectArgs,
}

/// BuildArgs to build.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "how_to_build", multiple = true)]
pub struct BuildArgs {
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
    pub message_format: MessageFormat,
}

impl BuildArgs {
    /// What the toolchain is told.
    pub fn options(&self) -> Options {
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
