use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use mxfp4_process::{Command, Stream};

use crate::{Error, Job, files, run, run_with};

/// The interpreters that may install uv, in the order they are tried.
const PYTHONS: [&str; 7] = [
    "python3",
    "python",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
];

/// The uv to use: the one on PATH, else the workspace's own, which is installed
/// when it is not there yet.
pub(crate) fn find_or_install(job: Job) -> Result<PathBuf, Error> {
    let tools = job.workspace.state_dir().join("tools");
    let own = tools.join("bin/uv");
    if let Some(uv) = first_that_works(on_path(job, "uv").chain([own.clone()]))? {
        return Ok(uv);
    }
    install(job, &tools)?;
    if works(&own)? {
        return Ok(own);
    }
    Err(Error::Sdk(format!(
        "uv was installed as {}, but does not run; install uv yourself so that it is on PATH",
        own.display()
    )))
}

/// The programs called `name` in PATH's order.
fn on_path(job: Job, name: &str) -> impl Iterator<Item = PathBuf> {
    let path = job.ambient.get("PATH").unwrap_or_default();
    which::which_in_all(name, Some(path), &job.workspace.root)
        .into_iter()
        .flatten()
}

fn first_that_works(mut programs: impl Iterator<Item = PathBuf>) -> Result<Option<PathBuf>, Error> {
    programs
        .find_map(|program| {
            works(&program)
                .map(|works| works.then_some(program))
                .transpose()
        })
        .transpose()
}

/// Whether the program runs at all: a version manager's stand-in may refuse.
fn works(program: &Path) -> Result<bool, Error> {
    if !program.is_file() {
        return Ok(false);
    }
    match quietly(Command::new(program).arg("--version")) {
        Err(Error::Process(_)) => Ok(false),
        other => other,
    }
}

/// Installs uv from the package index into `tools` with whatever python3 there
/// is: with its pip, or with the pip of a virtual environment of its making.
fn install(job: Job, tools: &Path) -> Result<(), Error> {
    let mut pythons = Vec::new();
    for name in PYTHONS {
        pythons.extend(first_that_works(on_path(job, name))?);
    }
    if pythons.is_empty() {
        return Err(Error::Sdk(
            "neither uv nor python3 is on PATH, and making the SDK needs one of them; \
             install python3 (3.10 to 3.14)"
                .to_owned(),
        ));
    }
    files::remove_leftovers(tools)?;
    let partial = files::partial(tools);
    files::create_dir(&partial)?;
    tracing::info!("installing uv into {}", tools.display());
    for python in &pythons {
        if install_with(job, python, &partial)? {
            return files::replace_dir(&partial, tools);
        }
    }
    files::remove(&partial)?;
    Err(Error::Sdk(format!(
        "uv is not on PATH and could not be installed with {}: see above; what helps is uv itself, \
         or python3 with pip or venv (on Debian and Ubuntu: apt install python3-venv), and a \
         network",
        pythons[0].display()
    )))
}

fn install_with(job: Job, python: &Path, target: &Path) -> Result<bool, Error> {
    let has_pip = quietly(Command::new(python).args(["-m", "pip", "--version"]))?;
    if has_pip {
        return pip_install(job, python, target);
    }
    // The environment of its own is beside what stays, and goes with it.
    let venv = target.join("venv");
    let made = run(Command::new(python).args(["-m", "venv"]).arg(&venv))?;
    let installed = made.success() && pip_install(job, &venv.join("bin/python"), target)?;
    files::remove(&venv)?;
    Ok(installed)
}

fn pip_install(job: Job, python: &Path, target: &Path) -> Result<bool, Error> {
    let mut command = Command::new(python)
        .args(["-m", "pip", "install", "--no-input", "--no-cache-dir"])
        .args(["--disable-pip-version-check", "--only-binary", ":all:"])
        .args([OsStr::new("--target"), target.as_os_str(), OsStr::new("uv")])
        // `--user`, where a configuration asks for it, contradicts `--target`.
        .env("PIP_USER", "0");
    if job.quiet {
        command = command.arg("--quiet");
    }
    Ok(run(command)?.success())
}

fn quietly(command: Command) -> Result<bool, Error> {
    Ok(run_with(command, &mut |_| {})?.success())
}

/// The first line that `command` prints when it succeeds.
pub(crate) fn first_line(command: Command) -> Result<Option<String>, Error> {
    let mut first = None;
    let outcome = run_with(command, &mut |line| {
        if line.stream == Stream::Stdout && first.is_none() {
            first = Some(line.text);
        }
    })?;
    Ok(first.filter(|_| outcome.success()))
}
