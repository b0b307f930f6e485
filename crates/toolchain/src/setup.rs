//! The SDK inside the workspace: a virtual environment made by uv from the lock
//! file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mxfp4_env::{Context, Layout, Workspace};
use serde::{Deserialize, Serialize};

use crate::lock_file::LockFile;
use crate::pyproject::Pyproject;
use crate::run::run;
use crate::uv_command::uv_command;
use crate::{Error, files, lock, uv};

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
struct BuildFingerprint {
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
    let fresh = serde_json::from_slice::<BuildFingerprint>(&text).is_ok_and(|record| {
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
        return Err(Error::Sdk(
            "no SDK is made in a Modular checkout: activate the environment that has MAX and \
             Mojo, or name it with MXFP4_SDK or `sdk.path` in mxfp4.toml"
                .to_owned(),
        ));
    }
    match state(&context.workspace)? {
        State::Fresh => {
            // Made from the lock file; whether that is what mxfp4.toml asks for now is another question.
            check_pins(&context.workspace, &lock_file(&context.workspace)?)?;
            sweep(&context.workspace)?;
            return Ok(false);
        }
        State::Foreign => return Err(foreign(&context.workspace.venv_dir())),
        State::Missing | State::Outdated => {}
    }
    make(context).map_err(|error| match error {
        Error::Sdk(_) | Error::Config(_) | Error::Interrupted(_) => error,
        other => Error::Setup(Box::new(other)),
    })
}

pub(crate) fn foreign(venv: &Path) -> Error {
    Error::Sdk(format!(
        "{} was not made by `mxfp4 setup`, which does not replace it: remove it, or name another \
         SDK with MXFP4_SDK or `sdk.path` in mxfp4.toml",
        venv.display()
    ))
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
            let record = serde_json::to_vec(&BuildFingerprint { inputs }).unwrap_or_default();
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
    expect(run(made)?, "uv venv")?;
    let synced = uv_command(context, uv)
        // Otherwise each process that loads MAX does it, where Python may not write beside its modules.
        .args(["sync", "--frozen", "--compile-bytecode", "--project"])
        .arg(&project)
        .arg("--python")
        .arg(folder.join("bin/python"))
        .args(context.is_quiet().then_some("--quiet"))
        .env("UV_PROJECT_ENVIRONMENT", folder);
    expect(run(synced)?, "uv sync")?;
    if holds_sdk(folder) {
        return Ok(());
    }
    Err(Error::Sdk(format!(
        "{} installs no `modular/bin/mojo`: it does not lock MAX and Mojo",
        project.join("uv.lock").display()
    )))
}

fn expect(outcome: mxfp4_process::Outcome, what: &str) -> Result<(), Error> {
    if outcome.success() {
        return Ok(());
    }
    Err(Error::Sdk(format!(
        "`{what}` failed ({outcome}), see above; nothing was changed, and `mxfp4 setup` starts anew"
    )))
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
    Pyproject::parse(&text).map_err(|error| Error::Config(format!("{}: {error}", path.display())))
}

/// The hash of everything that decides what the virtual environment holds.
fn inputs(workspace: &Workspace) -> Result<String, Error> {
    let mut hasher = blake3::Hasher::new();
    for name in ["pyproject.toml", "uv.lock"] {
        let path = project(workspace).join(name);
        let content = mxfp4_fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Config(format!(
                "{} is missing: the SDK is made from it",
                path.display()
            )),
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
    let path = lock.path().display();
    let pyproject = read_pyproject(workspace)?;
    for (name, pinned) in [("max", sdk.max.as_str()), ("mojo", sdk.mojo.as_str())] {
        match lock.version(name) {
            Some(locked) if locked == pinned => {}
            Some(locked) => {
                return Err(Error::Config(format!(
                    "mxfp4.toml asks for {name} {pinned}, {path} holds {locked}: change \
                     `sdk.{name}`, or python/pyproject.toml followed by `uv lock`; or let `mxfp4 setup \
                     --upgrade --{name} {pinned}` change all three"
                )));
            }
            None => {
                return Err(Error::Config(format!(
                    "{path} does not hold {name}, of which mxfp4.toml asks for {pinned}"
                )));
            }
        }
        if let Some(asked) = pyproject.pinned(name).filter(|asked| *asked != pinned) {
            return Err(Error::Config(format!(
                "python/pyproject.toml asks for {name} {asked}, mxfp4.toml and {path} have {pinned}: run `uv lock` and \
                 change `sdk.{name}`, or change python/pyproject.toml; or let `mxfp4 setup --upgrade --{name} {asked}` \
                 change all three"
            )));
        }
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
