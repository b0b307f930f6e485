//! The SDK inside the workspace: a virtual environment made by uv from the lock
//! file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mxfp4_env::{Context, Layout, Workspace};
use mxfp4_process::Outcome;
use serde::{Deserialize, Serialize};

use crate::lock_file::LockFile;
use crate::pyproject::Pyproject;
use crate::run::run;
use crate::uv_command::uv_command;
use crate::{ConfigError, Error, SdkError, Step, files, lock, uv};

/// The file in the virtual environment that says what it was made from.
const RECORD: &str = "mxfp4-setup.json";

/// What there is at the place of the workspace's virtual environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Missing,
    /// One that was made from the lock file as it is now.
    Fresh,
    /// One that was made from another lock file, or that lost its interpreter or
    /// its compiler.
    Outdated,
    /// Something that `mxfp4 setup` did not make.
    Foreign,
}

/// What a virtual environment was made from.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct VenvFingerprint {
    /// The hash of everything that decides its content.
    inputs: String,
}

/// What the workspace's virtual environment is worth now. A few milliseconds,
/// no process, no network.
pub fn state(workspace: &Workspace) -> Result<State, Error> {
    let venv = workspace.venv_dir();
    match fs::symlink_metadata(&venv) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Missing),
        Err(error) => return Err(Error::file("read", &venv)(error)),
        Ok(_) => {}
    }
    let Ok(text) = fs::read(venv.join(RECORD)) else {
        return Ok(State::Foreign);
    };
    let fresh = serde_json::from_slice::<VenvFingerprint>(&text).is_ok_and(|record| {
        record.inputs == inputs(workspace).unwrap_or_default()
            && venv.join("bin/python").exists()
            && holds_sdk(&venv)
    });
    Ok(if fresh { State::Fresh } else { State::Outdated })
}

/// Makes the workspace's virtual environment unless it is fresh. Says whether
/// anything was made.
pub fn ensure(context: &Context) -> Result<bool, Error> {
    if context.workspace.layout == Layout::Modular {
        return Err(SdkError::InCheckout.into());
    }
    match state(&context.workspace)? {
        State::Fresh => {
            // Made from the lock file; whether that is what mxfp4.toml asks for now is another question.
            check_pins(&context.workspace, &lock_file(&context.workspace)?)?;
            sweep(&context.workspace)?;
            return Ok(false);
        }
        State::Foreign => return Err(SdkError::Foreign(context.workspace.venv_dir()).into()),
        State::Missing | State::Outdated => {}
    }
    make(context).map_err(Error::in_setup)
}

fn make(context: &Context) -> Result<bool, Error> {
    let workspace = &context.workspace;
    let inputs = inputs(workspace)?;
    let lock_file = lock_file(workspace)?;
    check_pins(workspace, &lock_file)?;
    let _lock = lock::take(
        &workspace.state_dir().join("setup.lock"),
        "`mxfp4 setup` in this workspace",
    )?;
    if state(workspace)? == State::Fresh {
        return Ok(false);
    }
    let venv = workspace.venv_dir();
    files::remove_leftovers(&venv)?;
    let (uv, python) = uv::with_python(context, &lock_file)?;
    tracing::info!("making {} with {}", venv.display(), python.display());

    let partial = files::partial(&venv);
    let made = install(context, &uv, &python, &partial)
        .and_then(|()| {
            let record = serde_json::to_vec(&VenvFingerprint { inputs }).unwrap_or_default();
            files::write(&partial.join(RECORD), &record)
        })
        .and_then(|()| files::replace_dir(&partial, &venv));
    if made.is_err() {
        // The next setup would do it too, but this may be gigabytes.
        let _ = files::remove(&partial);
    }
    made.map(|()| true)
}

/// Removes the older environment that a setup killed in its last step, when the new one was in place, has left.
fn sweep(workspace: &Workspace) -> Result<(), Error> {
    match lock::try_take(&workspace.state_dir().join("setup.lock")) {
        Ok(Some(_lock)) => files::remove_leftovers(&workspace.venv_dir()),
        // Another one is at work, or there has never been one.
        _ => Ok(()),
    }
}

/// Makes a virtual environment at `folder` that holds what the lock file names.
fn install(context: &Context, uv: &Path, python: &Path, folder: &Path) -> Result<(), Error> {
    let project = project(&context.workspace);
    let made = uv_command(context, uv)
        .args(["venv", "--quiet", "--no-project", "--relocatable"])
        .args(["--prompt", "mxfp4", "--python"])
        .args([python, folder]);
    expect(Step::Venv, run(made)?)?;
    let synced = uv_command(context, uv)
        // Otherwise each process that loads MAX does it, where Python may not write beside its modules.
        .args(["sync", "--frozen", "--compile-bytecode", "--project"])
        .arg(&project)
        .arg("--python")
        .arg(folder.join("bin/python"))
        .args(context.is_quiet().then_some("--quiet"))
        .env("UV_PROJECT_ENVIRONMENT", folder);
    expect(Step::Sync, run(synced)?)?;
    if holds_sdk(folder) {
        return Ok(());
    }
    Err(SdkError::NotLocked(project.join("uv.lock")).into())
}

/// Has a step of uv's have succeeded.
pub(crate) fn expect(step: Step, outcome: Outcome) -> Result<(), SdkError> {
    match outcome.success() {
        true => Ok(()),
        false => Err(SdkError::Step { step, outcome }),
    }
}

/// The folder of pyproject.toml and uv.lock.
pub(crate) fn project(workspace: &Workspace) -> PathBuf {
    workspace.root.join("python")
}

fn lock_file(workspace: &Workspace) -> Result<LockFile, Error> {
    LockFile::read(project(workspace).join("uv.lock"))
}

pub(crate) fn read_pyproject(workspace: &Workspace) -> Result<Pyproject, Error> {
    let path = project(workspace).join("pyproject.toml");
    let text = mxfp4_fs::read_text(&path).map_err(Error::file("read", &path))?;
    Ok(Pyproject::parse(&text).map_err(|error| ConfigError::Toml {
        path,
        why: error.to_string(),
    })?)
}

/// The hash of everything that decides what the virtual environment holds.
fn inputs(workspace: &Workspace) -> Result<String, Error> {
    let mut hasher = blake3::Hasher::new();
    for name in ["pyproject.toml", "uv.lock"] {
        let path = project(workspace).join(name);
        let content = mxfp4_fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ConfigError::NoInput(path.clone()).into(),
            _ => Error::file("read", &path)(error),
        })?;
        hasher.update(&(content.len() as u64).to_le_bytes());
        hasher.update(&content);
    }
    for version in workspace.config.sdk.pythons() {
        hasher.update(version.to_string().as_bytes());
        hasher.update(b"\n");
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Has the lock file agree with the versions that `mxfp4.toml` and `pyproject.toml` name.
pub(crate) fn check_pins(workspace: &Workspace, lock: &LockFile) -> Result<(), Error> {
    let sdk = &workspace.config.sdk;
    let lock_file = || lock.path().to_owned();
    let pyproject = read_pyproject(workspace)?;
    for (package, pinned) in [("max", sdk.max.as_str()), ("mojo", sdk.mojo.as_str())] {
        let asked = pyproject.pinned(package).filter(|asked| *asked != pinned);
        let wrong = match (lock.version(package), asked) {
            (None, _) => ConfigError::NotLocked {
                package,
                pinned: pinned.to_owned(),
                lock_file: lock_file(),
            },
            (Some(locked), _) if locked != pinned => ConfigError::Locked {
                package,
                pinned: pinned.to_owned(),
                locked: locked.to_owned(),
                lock_file: lock_file(),
            },
            (Some(_), Some(asked)) => ConfigError::Project {
                package,
                asked: asked.to_owned(),
                pinned: pinned.to_owned(),
                lock_file: lock_file(),
            },
            (Some(_), None) => continue,
        };
        return Err(wrong.into());
    }
    Ok(())
}

fn holds_sdk(venv: &Path) -> bool {
    let Ok(pythons) = fs::read_dir(venv.join("lib")) else {
        return false;
    };
    pythons.flatten().any(|python| {
        python
            .path()
            .join("site-packages/modular/bin/mojo")
            .is_file()
    })
}
