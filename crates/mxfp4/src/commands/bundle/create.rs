//! `mxfp4 bundle create`

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use mxfp4_bundle::{About, Beside, Mode, Pack, Tree};
use mxfp4_env::config::PythonVersion;
use mxfp4_env::{Options, Sdk};
use mxfp4_launch::{CompileCache, is_graph};
use mxfp4_toolchain::{build, portable_sdk};

use super::show::{bar, megabytes, print};
use super::size::Size;
use super::sources;
use crate::context::Context;
use crate::exit::{Exit, ExitContext, Failure};
use crate::prepare::ensure_built;
use crate::prepare::ensure_sdk;
use crate::ui::progress::Steps;

/// The program's name in a bundle, and in what it unpacks to.
const PROGRAM: &str = "mxfp4";

/// Where compiled models are in what a bundle unpacks to.
const GRAPHS: &str = ".mxfp4/cache/graphs";

/// Make a bundle for a host without internet.
///
/// A bundle is a folder: the archive, whole or in parts, a manifest with the SHA-256 of everything, this program, and a
/// README.txt with the two commands for the host. In the archive are this program, the SDK for the host's Python made
/// from python/uv.lock, the kernel package, and the workspace's Mojo and Python sources with mxfp4.toml. Prints the
/// folder.
#[derive(clap::Args)]
pub struct Args {
    /// The host's Python, such as 3.12 [default: sdk.python of mxfp4.toml]
    #[arg(long, value_name = "VERSION")]
    python: Option<PythonVersion>,
    /// Carry this SDK, instead of making one: a folder that holds modular/bin/mojo, or a virtual environment
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
    /// The most bytes that a part of the archive may have, such as 60M or 2GB [default: one part]
    #[arg(long, value_name = "SIZE")]
    split: Option<Size>,
    /// Carry the models that `mxfp4 warm` compiled, too
    #[arg(long)]
    with_cache: bool,
    /// Carry what `mxfp4 test` needs on the host, too
    #[arg(long, conflicts_with = "sdk")]
    with_dev: bool,
    /// The folder to make [default: dist/mxfp4-VERSION-pythonVERSION in the workspace]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    // What can be refused is refused before anything is made.
    let cache = args
        .with_cache
        .then(|| compiled_models(context))
        .transpose()?;
    let named = match &args.sdk {
        Some(path) => Some(sdk_at(context, path)?),
        None => None,
    };
    let python = python(context, args.python, named.as_ref())?;
    let output = match &args.output {
        Some(output) => context.cwd.join(output),
        None => {
            let version = env!("CARGO_PKG_VERSION");
            let name = format!("dist/mxfp4-{version}-python{python}");
            context.workspace.root.join(name)
        }
    };
    mxfp4_bundle::check_free(&output)?;

    let mut steps = Steps::new(context.verbosity, 3);
    let builder = portable_sdk::PortableSdkBuilder::open(context)?;
    let sdk = match named {
        Some(sdk) => {
            steps.begin(&format!("Take the SDK for Python {python}"));
            steps.done(sdk.site.display());
            sdk
        }
        None => {
            steps.begin(&format!(
                "Make an SDK for Python {python} from the lock file"
            ));
            let sdk = sdk_at(context, &builder.sdk(python, args.with_dev)?)?;
            steps.done("made");
            sdk
        }
    };

    steps.begin("Build the kernel package, and what MAX would compile at its first start");
    let compiler = match context.sdk()? {
        Some(_) => ensure_sdk(context, true)?,
        None => sdk.clone(),
    };
    ensure_built(context, Some(&compiler))?;
    let mut packages = context.workspace.kernel_packages();
    if !build::is_same_compiler(&compiler, &sdk)? {
        packages.clear();
        tracing::warn!(
            "the kernel package was built by another compiler than the one that is carried: the host builds it anew, in \
             seconds"
        );
    }
    let environment = context.environment(Some(&sdk), Options::default())?;
    let modules = builder.modules(&sdk, &environment)?;
    steps.done("built");

    steps.begin("Pack");
    let mut tree = Tree::default();
    sources::add(&mut tree, &context.workspace)?;
    for package in &packages {
        tree.one(&context.workspace.root, below_root(context, package)?, "")?;
    }
    tree.all(
        &sdk.site,
        Path::new(""),
        sources::SDK,
        &portable_sdk::is_cache,
    )?;
    for module in &modules {
        let place = Path::new(sources::SDK).join(&module.place);
        tree.file(place, &module.file)?;
    }
    if let Some(cache) = &cache {
        tree.all(cache, Path::new(""), GRAPHS, &|path| !is_graph(path))?;
    }
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    tree.file(PROGRAM, &program)?;
    // Where the scripts look for it.
    tree.link("target/release/mxfp4", "../../mxfp4")?;

    let about = about(context, &sdk, python);
    let beside = [
        Beside {
            name: PROGRAM.into(),
            content: std::fs::read(&program)
                .with_context(|| format!("cannot read {}", program.display()))?,
            mode: Mode::Executable,
        },
        Beside {
            name: "README.txt".into(),
            content: readme(&about).into_bytes(),
            mode: Mode::Plain,
        },
    ];
    let progress = bar(context.verbosity, tree.bytes()?);
    let manifest = mxfp4_bundle::pack(
        &tree,
        Pack {
            output: &output,
            about,
            split: args.split.map(|Size(bytes)| bytes),
            beside: &beside,
        },
        &|bytes| progress.inc(bytes),
    )?;
    progress.finish_and_clear();
    let parts = match manifest.parts.len() {
        1 => "one part".to_owned(),
        more => format!("{more} parts"),
    };
    steps.done(format_args!(
        "{} files of {} in {parts} of {}",
        manifest.entries.len(),
        megabytes(manifest.bytes()),
        megabytes(manifest.archive_bytes()),
    ));
    print(&output)?;
    Ok(0)
}

/// The folder of compiled models, which has to hold some.
fn compiled_models(context: &Context) -> anyhow::Result<PathBuf> {
    let graphs = CompileCache::of(context).graphs();
    let files = std::fs::read_dir(&graphs).into_iter().flatten().flatten();
    if !files.map(|file| file.path()).any(|path| is_graph(&path)) {
        let message = format!(
            "there is no compiled model in {} to carry: run `mxfp4 warm` first, or leave --with-cache out",
            graphs.display()
        );
        return Err(Failure::new(Exit::Precondition, message).into());
    }
    Ok(graphs)
}

/// The SDK at `path`, as packages of Python in one folder.
fn sdk_at(context: &Context, path: &Path) -> anyhow::Result<Sdk> {
    let mut ambient = context.ambient.clone();
    ambient.set("MXFP4_SDK", context.cwd.join(path));
    let unfit = || {
        let message = format!(
            "{} holds no SDK that can be carried: it must be a folder that holds modular/bin/mojo, or a virtual \
             environment made with uv or pip",
            path.display()
        );
        Failure::new(Exit::Sdk, message)
    };
    match Sdk::find(&context.workspace, &ambient) {
        Ok(Some(sdk)) if sdk.modular == sdk.site.join("modular") => Ok(sdk),
        _ => Err(unfit().into()),
    }
}

/// The Python that the bundle is for.
fn python(
    context: &Context,
    asked: Option<PythonVersion>,
    sdk: Option<&Sdk>,
) -> anyhow::Result<PythonVersion> {
    let config = &context.workspace.config.sdk;
    let carried = sdk.and_then(|sdk| sdk.python_version);
    let python = match (asked, carried) {
        (Some(asked), Some(carried)) if asked != carried => {
            let message = format!("--sdk is for Python {carried}, and --python says {asked}");
            return Err(Failure::new(Exit::Usage, message).into());
        }
        (asked, carried) => asked.or(carried).unwrap_or(config.python),
    };
    let accepted = config.pythons();
    if !accepted.contains(&python) {
        let accepted: Vec<_> = accepted.iter().map(ToString::to_string).collect();
        let message = format!(
            "Python {python} is none that the SDK is used with; --python takes {} (sdk.accepted-pythons in mxfp4.toml)",
            accepted.join(", ")
        );
        return Err(Failure::new(Exit::Usage, message).into());
    }
    Ok(python)
}

fn below_root<'a>(context: &Context, path: &'a Path) -> anyhow::Result<&'a Path> {
    path.strip_prefix(&context.workspace.root).or_exit(
        Exit::Failed,
        format!("{} is outside the workspace", path.display()),
    )
}

fn about(context: &Context, sdk: &Sdk, python: PythonVersion) -> About {
    let config = &context.workspace.config.sdk;
    let version = |name, configured: &str| sdk.version(name).unwrap_or(configured.to_owned());
    About {
        created_by: format!("mxfp4 {}", env!("CARGO_PKG_VERSION")),
        python: python.to_string(),
        platform: portable_sdk::PLATFORM.into(),
        max: version("max", config.max.as_str()),
        mojo: version("mojo", config.mojo.as_str()),
    }
}

fn readme(about: &About) -> String {
    let About {
        created_by,
        python,
        max,
        mojo,
        ..
    } = about;
    let into = "/opt/mxfp4";
    format!(
        "{created_by} with MAX {max} and Mojo {mojo}, for GPU hosts without internet: Linux on x86-64 with glibc 2.34 or \
         newer, Python {python}, a Hopper GPU and its driver.\n\n\
         On the host, in this folder:\n\n    \
             ./mxfp4 bundle unpack --into {into}\n    \
             cd {into} && ./mxfp4 serve --model /models/gpt-oss-20b\n\n\
         The first command compares every file with manifest.json before anything is in its place. Parts that lie in \
         several folders are named: ./mxfp4 bundle unpack --into {into} FOLDER OTHER ...\n"
    )
}
