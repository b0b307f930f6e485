use std::path::{Path, PathBuf};

use mxfp4_process::{Command, Stream};

use crate::lock_file::LockFile;
use crate::{Error, Job, files, run, run_with};

/// Takes uv out of its wheel; standard library only, so any python3 runs it.
const FETCH: &str = include_str!("fetch_uv.py");

/// The interpreters that may run it, in the order they are tried.
const PYTHONS: [&str; 6] = [
    "python3",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
];

/// The uv to use: the one on PATH, else the workspace's own, which is fetched as
/// the lock file names it when it is not there yet.
pub(crate) fn find_or_install(job: Job, lock: &LockFile) -> Result<PathBuf, Error> {
    if let Some(uv) = find(job)? {
        return Ok(uv);
    }
    let tools = tools(job);
    let own = own(job);
    install(job, lock, &tools)?;
    if works(&own)? {
        return Ok(own);
    }
    Err(Error::Sdk(format!(
        "uv was installed as {}, but does not run; install uv yourself so that it is on PATH",
        own.display()
    )))
}

/// The uv that is there: the one on PATH, else the workspace's own.
pub fn find(job: Job) -> Result<Option<PathBuf>, Error> {
    first_that_works(on_path(job, "uv").chain([own(job)]))
}

/// Where the workspace's own tools are.
fn tools(job: Job) -> PathBuf {
    job.workspace.state_dir().join("tools")
}

fn own(job: Job) -> PathBuf {
    tools(job).join("bin/uv")
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

/// Puts the uv of the lock file into `tools` with whatever python3 there is.
fn install(job: Job, lock: &LockFile, tools: &Path) -> Result<(), Error> {
    let mut python = None;
    for name in PYTHONS {
        python = first_that_works(on_path(job, name))?;
        if python.is_some() {
            break;
        }
    }
    let Some(python) = python else {
        return Err(Error::Sdk(
            "neither uv nor python3 is on PATH, and making the SDK needs one of them; install \
             python3 (3.10 to 3.14)"
                .to_owned(),
        ));
    };
    let wheel = lock.native_wheel("uv");
    let Some((wheel, sha256)) = wheel.and_then(|wheel| Some((wheel, wheel.sha256()?))) else {
        return Err(Error::Sdk(format!(
            "uv is not on PATH, and {} has none for this machine; install uv",
            lock.path().display()
        )));
    };
    files::remove_leftovers(tools)?;
    let partial = files::partial(tools);
    let bin = partial.join("bin");
    files::create_dir(&bin)?;
    tracing::info!("fetching uv into {}", tools.display());
    let fetch = Command::new(&python)
        .args(["-c", FETCH, &wheel.url, sha256])
        .arg(bin.join("uv"));
    if run(fetch)?.success() {
        return files::replace_dir(&partial, tools);
    }
    files::remove(&partial)?;
    Err(Error::Sdk(format!(
        "uv is not on PATH and could not be fetched with {}, see above; install uv, or see to the \
         network and try again",
        python.display()
    )))
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
