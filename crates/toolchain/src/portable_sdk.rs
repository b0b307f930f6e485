//! An SDK for another machine: the lock file's packages for one version of Python, in a plain folder.

mod modules;

use std::fs;
use std::path::{Path, PathBuf};

use mxfp4_env::config::PythonVersion;
use mxfp4_env::{Context, Environment, Layout, Sdk};
use mxfp4_process::Command;

use crate::lock_file::LockFile;
use crate::run::run;
use crate::setup::{check_pins, expect, project};
use crate::uv_command::uv_command;
use crate::{BuildError, Error, SdkError, Step, files, lock, uv};

/// The machines that it is for, in uv's words.
pub const PLATFORM: &str = "x86_64-manylinux_2_34";

/// Where what is to be carried away is made. Dropped, it is removed with all that is in it.
///
/// It is the same folder each time, because its path is in what is compiled there.
#[derive(Debug)]
pub struct PortableSdkBuilder<'a> {
    context: &'a Context,
    folder: PathBuf,
    _lock: fs::File,
}

impl Drop for PortableSdkBuilder<'_> {
    fn drop(&mut self) {
        // The next one would remove it, too.
        let _ = files::remove(&self.folder);
    }
}

impl<'a> PortableSdkBuilder<'a> {
    /// The only one in the workspace: another one is waited for.
    pub fn open(context: &'a Context) -> Result<Self, Error> {
        let state = context.workspace.state_dir();
        let lock = lock::take(
            &state.join("carried.lock"),
            "`mxfp4 bundle create` in this workspace",
        )?;
        let folder = state.join("carried");
        files::remove(&folder)?;
        files::create_dir(&folder)?;
        Ok(Self {
            context,
            folder,
            _lock: lock,
        })
    }

    /// Makes an SDK for `python` on [`PLATFORM`], whatever Python this machine has: exactly what the lock file names,
    /// with its hashes, and with `dev` what its tests and measurements need too. Returns its folder. Standalone workspaces
    /// only.
    pub fn sdk(&self, python: PythonVersion, dev: bool) -> Result<PathBuf, Error> {
        let workspace = &self.context.workspace;
        debug_assert_eq!(workspace.layout, Layout::Standalone);
        let lock_file = LockFile::read(project(workspace).join("uv.lock"))?;
        check_pins(workspace, &lock_file)?;
        let folder = self.folder.join("sdk");
        files::create_dir(&folder)?;
        install(self.context, &lock_file, python, dev, &folder).map_err(Error::in_setup)?;
        Ok(folder)
    }

    /// Compiles the Mojo modules that Python packages of `sdk` import. Otherwise their first import does it, with a C
    /// compiler that a host may not have.
    pub fn modules(&self, sdk: &Sdk, environment: &Environment) -> Result<Vec<Module>, Error> {
        modules::find(&sdk.site)?
            .into_iter()
            .enumerate()
            .map(|(number, source)| {
                let file = self.folder.join(format!("module-{number}.so"));
                let outcome = run(source.compile(sdk, &file).environment(environment))?;
                match outcome.success() {
                    true => Ok(Module {
                        place: source.place(),
                        file,
                    }),
                    false => Err(BuildError::Module(source.path().to_owned()).into()),
                }
            })
            .collect()
    }
}

/// Has `python` compile all Python files below `folders`, on all cores. Otherwise each process that loads MAX does it in
/// seconds, again and again where `PYTHONDONTWRITEBYTECODE` is set, as in many containers. What Python cannot read, such
/// as a template, is left out.
pub fn compile_python(python: &Path, folders: &[&Path]) -> Result<(), Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let command = Command::new(python)
        // -I: neither the current folder nor variables have a say in what is run and where it writes.
        .args(["-I", "-m", "compileall", "-qq", "-j"])
        .arg(cores.to_string())
        .args(folders.iter().copied());
    run(command).map(drop)
}

/// Whether a path of an SDK is something that was compiled where the SDK was used, for that machine.
pub fn is_cache(path: &Path) -> bool {
    path.ends_with("__pycache__") || path.ends_with(modules::CACHE)
}

/// A compiled Mojo module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Where its importer looks for it, in the SDK's folder.
    pub place: PathBuf,
    /// Where it is until the [`PortableSdkBuilder`] is dropped.
    pub file: PathBuf,
}

fn install(
    context: &Context,
    lock_file: &LockFile,
    python: PythonVersion,
    dev: bool,
    folder: &Path,
) -> Result<(), Error> {
    let uv = uv::find_or_install(context, lock_file)?;
    let project = project(&context.workspace);
    tracing::info!("making an SDK for Python {python} on {PLATFORM}");
    let requirements = folder.join("requirements.txt");
    let exported = uv_command(context, &uv)
        .args(["export", "--quiet", "--frozen"])
        .args((!dev).then_some("--no-dev"))
        .args(["--no-emit-project", "--format", "requirements.txt"])
        .arg("--project")
        .arg(&project)
        .arg("--output-file")
        .arg(&requirements);
    expect(Step::Export, run(exported)?)?;
    // Without --no-deps uv would look for what the lock file leaves out.
    let installed = uv_command(context, &uv)
        .args(["pip", "install", "--no-deps", "--require-hashes"])
        .args(["--only-binary", ":all:"])
        .args(["--python-platform", PLATFORM])
        .args(["--python-version", &python.to_string()])
        .args(context.is_quiet().then_some("--quiet"))
        .arg("--target")
        .arg(folder)
        .arg("--requirements")
        .arg(&requirements);
    expect(Step::Install, run(installed)?)?;
    files::remove(&requirements)?;
    // uv's own, against a second uv in the same folder.
    files::remove(&folder.join(".lock"))?;
    if folder.join("modular/bin/mojo").is_file() {
        return Ok(());
    }
    Err(SdkError::NotLocked(project.join("uv.lock")).into())
}
