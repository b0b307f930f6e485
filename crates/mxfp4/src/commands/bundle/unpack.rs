//! `mxfp4 bundle unpack`

use std::path::{Path, PathBuf};

use mxfp4_bundle::{Bundle, MANIFEST};
use mxfp4_env::{Ambient, Options, Sdk, Workspace};
use mxfp4_toolchain::{build, portable_sdk};

use super::show::{bar, megabytes, print};
use crate::context::{Context, Verbosity};
use crate::ui::progress::Steps;

/// The folder of the workspace's own Python packages.
const PYTHON: &str = "python";

/// Unpack a bundle to a workspace that serves without internet.
///
/// Compares every part and every file with the manifest. The folder is there whole in the end, or not at all; what a
/// killed run left beside it is removed by the next one. Needs no workspace. Where the bundle's Python is on PATH, it
/// compiles the Python files. Prints the folder.
#[derive(clap::Args)]
pub struct Args {
    /// The folder to make; an empty one may be there
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The bundle: its folder, or its manifest.json and its parts, wherever they lie [default: the folder of this
    /// program, and without a bundle there the current one]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub fn run(ambient: &Ambient, cwd: &Path, verbosity: Verbosity, args: Args) -> anyhow::Result<i32> {
    let files = match args.files.is_empty() {
        true => vec![default_place(cwd)],
        false => args.files,
    };
    let into = cwd.join(&args.into);
    mxfp4_bundle::check_free(&into)?;
    let bundle = Bundle::find(&files)?;
    let manifest = bundle.manifest();

    let mut steps = Steps::new(verbosity, 3);
    steps.begin(&format!(
        "Compare {} with its manifest",
        megabytes(manifest.archive_bytes())
    ));
    let progress = bar(verbosity, manifest.archive_bytes());
    bundle.verify(&|bytes| progress.inc(bytes))?;
    progress.finish_and_clear();
    steps.done("all is there as it was made");

    steps.begin(&format!("Unpack {}", megabytes(manifest.bytes())));
    let progress = bar(verbosity, manifest.bytes());
    bundle.unpack(&into, &|bytes| progress.inc(bytes))?;
    progress.finish_and_clear();
    steps.done(into.display());

    // From here on only warnings: the workspace is whole.
    steps.begin("Make it ready for this machine's Python");
    match make_ready(ambient, &into) {
        Ok(()) => steps.done("ready"),
        Err(error) => tracing::warn!("{error:#}"),
    }
    print(&into)?;
    Ok(0)
}

/// The folder of a bundle that this program lies in, or the current one.
fn default_place(cwd: &Path) -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.to_owned()))
        .filter(|folder| folder.join(MANIFEST).is_file())
        .unwrap_or_else(|| cwd.to_owned())
}

/// Has the kernel package taken for fresh, every byte of it, of its sources and of the compiler being what it was; has
/// Python's files compiled; and says what this machine lacks.
fn make_ready(ambient: &Ambient, into: &Path) -> anyhow::Result<()> {
    let mut ambient = ambient.clone();
    // It is the carried SDK that was compared.
    ambient.remove("MXFP4_SDK");
    let context = Context {
        workspace: Workspace::find(Some(into), into)?,
        ambient,
        cwd: into.to_owned(),
        verbosity: Verbosity::Quiet,
    };
    let Some(sdk) = Sdk::find(&context.workspace, &context.ambient)? else {
        anyhow::bail!("{} holds no SDK", into.display());
    };
    let environment = context.environment(Some(&sdk), Options::default())?;
    build::adopt(&context, &sdk, &environment)?;
    match (&sdk.python, sdk.python_version) {
        (Some(python), _) => {
            portable_sdk::compile_python(python, &[&sdk.site, &into.join(PYTHON)])?
        }
        (None, Some(version)) => {
            tracing::warn!("there is no python{version} on PATH, which serving needs; install it");
        }
        (None, None) => {}
    }
    Ok(())
}
