use std::path::{Path, PathBuf};

use mxfp4_env::Context;
use mxfp4_process::{Command, Stream};

use crate::interpreter;
use crate::lock_file::LockFile;
use crate::no_python::NoPython;
use crate::run::{run, run_with};
use crate::uv_version::{OLDEST, Version};
use crate::{Error, SdkError, UvNeeded, files};

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

/// What there is of uv.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uv {
    /// None that runs.
    Missing,
    /// One that cannot make an SDK.
    TooOld(PathBuf, Version),
    /// One that finds no Python, for want of something else than Python.
    Refused(NoPython),
    /// One that works.
    Works(PathBuf),
}

/// Looks at the uv that is there, and has it look for a Python. Nothing is made.
pub fn look(context: &Context) -> Result<Uv, Error> {
    let there = find(context)?;
    let Some(uv) = there.uv else {
        return Ok(match there.too_old {
            Some((path, version)) => Uv::TooOld(path, version),
            None => Uv::Missing,
        });
    };
    Ok(match interpreter::find(context, &uv)? {
        Err(error) if !error.is_for_want_of_python() => Uv::Refused(error),
        _ => Uv::Works(uv),
    })
}

/// The uv to use, and the Python that it finds. Where its configuration asks for another uv, the one of the lock file is
/// tried too.
pub(crate) fn with_python(context: &Context, lock: &LockFile) -> Result<(PathBuf, PathBuf), Error> {
    let uv = find_or_install(context, lock)?;
    let refusal = match interpreter::find(context, &uv)? {
        Ok(python) => return Ok((uv, python)),
        Err(refusal) => refusal,
    };
    let own = own(context);
    if refusal.asks_for_another_uv() && uv != own {
        let fetched = match works(&own)? {
            true => Ok(()),
            false => install(context, lock, UvNeeded::AskedFor),
        };
        match fetched {
            Ok(()) => {
                if let Ok(python) = interpreter::find(context, &own)? {
                    return Ok((own, python));
                }
            }
            Err(error @ Error::Interrupted(_)) => return Err(error),
            Err(error) => match error.hint() {
                Some(hint) => tracing::warn!("{error}; {hint}"),
                None => tracing::warn!("{error}"),
            },
        }
    }
    Err(SdkError::from(refusal).into())
}

/// The uv to use: the one on PATH, else the workspace's own, which is fetched as
/// the lock file names it when it is not there yet.
pub(crate) fn find_or_install(context: &Context, lock: &LockFile) -> Result<PathBuf, Error> {
    let there = find(context)?;
    if let Some(uv) = there.uv {
        return Ok(uv);
    }
    let why = match there.too_old {
        Some((path, version)) => UvNeeded::TooOld { path, version },
        None => UvNeeded::NotThere,
    };
    let own = own(context);
    install(context, lock, why)?;
    match works(&own)? {
        true => Ok(own),
        false => Err(SdkError::UvDoesNotRun(own).into()),
    }
}

/// The uv that is there, and what was passed over.
struct There {
    uv: Option<PathBuf>,
    too_old: Option<(PathBuf, Version)>,
}

/// The first on PATH that is new enough, else the workspace's own.
fn find(context: &Context) -> Result<There, Error> {
    let mut too_old = None;
    for program in on_path(context, "uv").chain([own(context)]) {
        match version(&program)? {
            None => {}
            Some(Some(version)) if version < OLDEST => {
                too_old.get_or_insert((program, version));
            }
            // One that does not say its version may be new enough.
            Some(_) => {
                let uv = Some(program);
                return Ok(There { uv, too_old });
            }
        }
    }
    Ok(There { uv: None, too_old })
}

/// The version that a uv says it is, if it says one; `None` where it does not run: a version manager's stand-in may
/// refuse.
fn version(program: &Path) -> Result<Option<Option<Version>>, Error> {
    if !program.is_file() {
        return Ok(None);
    }
    let mut first = None;
    let outcome = run_with(Command::new(program).arg("--version"), &mut |line| {
        if line.stream == Stream::Stdout && first.is_none() {
            first = Some(line.text);
        }
    });
    match outcome {
        Err(Error::Process(_)) => Ok(None),
        Err(error) => Err(error),
        Ok(outcome) if !outcome.success() => Ok(None),
        Ok(_) => Ok(Some(first.as_deref().and_then(parse))),
    }
}

/// The version in `uv 0.4.27 (hash date)`.
fn parse(text: &str) -> Option<Version> {
    let version = text.strip_prefix("uv ")?.split_whitespace().next()?;
    let mut numbers = version.split(|char: char| !char.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some(Version(next()?, next()?, next()?))
}

/// Where the workspace's own tools are.
fn tools(context: &Context) -> PathBuf {
    context.workspace.state_dir().join("tools")
}

fn own(context: &Context) -> PathBuf {
    tools(context).join("bin/uv")
}

/// The programs called `name` in PATH's order.
fn on_path(context: &Context, name: &str) -> impl Iterator<Item = PathBuf> {
    let path = context.ambient.get("PATH").unwrap_or_default();
    which::which_in_all(name, Some(path), &context.workspace.root)
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

/// Puts the uv of the lock file where the workspace's own tools are, with whatever python3 there is. `why` says why it
/// is needed.
fn install(context: &Context, lock: &LockFile, why: UvNeeded) -> Result<(), Error> {
    let tools = &tools(context);
    let mut python = None;
    for name in PYTHONS {
        python = first_that_works(on_path(context, name))?;
        if python.is_some() {
            break;
        }
    }
    let Some(python) = python else {
        return Err(SdkError::NoPythonForUv(why).into());
    };
    let wheel = lock.native_wheel("uv");
    let Some((wheel, sha256)) = wheel.and_then(|wheel| Some((wheel, wheel.sha256()?))) else {
        let lock_file = lock.path().to_owned();
        return Err(SdkError::NoWheel { why, lock_file }.into());
    };
    files::remove_leftovers(tools)?;
    let partial = files::partial(tools);
    let bin = partial.join("bin");
    files::create_dir(&bin)?;
    if why != UvNeeded::NotThere {
        tracing::info!("{why}");
    }
    tracing::info!("fetching uv into {}", tools.display());
    let fetch = Command::new(&python)
        .args(["-c", FETCH, &wheel.url, sha256])
        .arg(bin.join("uv"));
    if run(fetch)?.success() {
        return files::replace_dir(&partial, tools);
    }
    files::remove(&partial)?;
    Err(SdkError::Fetch {
        why,
        lock_file: lock.path().to_owned(),
        python,
    }
    .into())
}

fn quietly(command: Command) -> Result<bool, Error> {
    Ok(run_with(command, &mut |_| {})?.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let newer = Version(0, 13, 9);
        assert_eq!(parse("uv 0.13.9 (x86_64-unknown-linux-gnu)"), Some(newer));
        assert_eq!(parse("uv 0.4.27"), Some(OLDEST));
        assert_eq!(parse("uv 0.5.0-alpha.1"), Some(Version(0, 5, 0)));
        assert_eq!(parse("uvx 1.0.0"), None);
        assert_eq!(parse("uv"), None);
        assert!(Version(0, 2, 0) < OLDEST && OLDEST < newer);
    }
}
