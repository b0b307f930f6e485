use std::fmt;
use std::path::{Path, PathBuf};

use mxfp4_env::Context;
use mxfp4_process::{Command, Stream};

use crate::lock_file::LockFile;
use crate::run::{run, run_with};
use crate::{Error, files, interpreter};

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

/// Why the workspace gets a uv of its own, as a rule.
const NOT_THERE: &str = "uv is not on PATH";

/// The oldest uv that can make an SDK: the first that knows dependency groups, which pyproject.toml has.
pub const OLDEST: Version = Version(0, 4, 27);

/// A version of uv.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What there is of uv.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uv {
    /// None that runs.
    Missing,
    /// One that cannot make an SDK.
    TooOld(PathBuf, Version),
    /// One that finds no Python: what is wrong, and what to do about it.
    Refused(String, String),
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
        Err(refusal) if !refusal.is_for_want_of_python() => {
            let (found, fix) = refusal.explain(context, &uv);
            Uv::Refused(found, fix)
        }
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
            false => install(
                context,
                lock,
                "uv's configuration asks for another one than is on PATH",
            ),
        };
        match fetched {
            Ok(()) => {
                if let Ok(python) = interpreter::find(context, &own)? {
                    return Ok((own, python));
                }
            }
            Err(error @ Error::Interrupted(_)) => return Err(error),
            Err(error) => tracing::warn!("{error}"),
        }
    }
    let (found, fix) = refusal.explain(context, &uv);
    Err(Error::Sdk(format!("{found}; {fix}")))
}

/// The uv to use: the one on PATH, else the workspace's own, which is fetched as
/// the lock file names it when it is not there yet.
pub(crate) fn find_or_install(context: &Context, lock: &LockFile) -> Result<PathBuf, Error> {
    let there = find(context)?;
    if let Some(uv) = there.uv {
        return Ok(uv);
    }
    let why = match there.too_old {
        Some((path, version)) => format!(
            "uv on PATH is too old ({} is {version}, and {OLDEST} is needed)",
            path.display()
        ),
        None => NOT_THERE.to_owned(),
    };
    let own = own(context);
    install(context, lock, &why)?;
    if works(&own)? {
        return Ok(own);
    }
    Err(Error::Sdk(format!(
        "uv was installed as {}, but does not run; install uv yourself so that it is on PATH",
        own.display()
    )))
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
fn install(context: &Context, lock: &LockFile, why: &str) -> Result<(), Error> {
    let tools = &tools(context);
    let mut python = None;
    for name in PYTHONS {
        python = first_that_works(on_path(context, name))?;
        if python.is_some() {
            break;
        }
    }
    let Some(python) = python else {
        let message = match why {
            NOT_THERE => {
                "neither uv nor python3 is on PATH, and making the SDK needs one of them; install \
                                    python3 (3.10 to 3.14)"
                    .to_owned()
            }
            why => format!(
                "{why}, and there is no python3 to fetch it with; install uv {OLDEST} or newer"
            ),
        };
        return Err(Error::Sdk(message));
    };
    let wheel = lock.native_wheel("uv");
    let Some((wheel, sha256)) = wheel.and_then(|wheel| Some((wheel, wheel.sha256()?))) else {
        return Err(Error::Sdk(format!(
            "{why}, and {} has none for this machine; install uv {OLDEST} or newer",
            lock.path().display()
        )));
    };
    files::remove_leftovers(tools)?;
    let partial = files::partial(tools);
    let bin = partial.join("bin");
    files::create_dir(&bin)?;
    if why != NOT_THERE {
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
    Err(Error::Sdk(format!(
        "{why}, and the one of {} could not be fetched with {}, see above; install uv {OLDEST} or newer, or see \
         to the network and try again",
        lock.path().display(),
        python.display()
    )))
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
