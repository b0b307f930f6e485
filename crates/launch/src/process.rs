//! Processes of MAX that come to an end by themselves.

use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use mxfp4_env::{Context, Environment, Layout, Sdk};
use mxfp4_process::{Command, Outcome, Output};

use crate::Error;
use crate::log_tail::LogTail;
use crate::python::python;

/// What to do where Linux ended MAX.
const KILLED: &str =
    "SIGKILL is how Linux ends a process when the machine runs out of memory: free some";

/// What the end of MAX means: the exit code of an interruption, which is passed on as such, or 0. Anything but success
/// is an error with its reason.
pub fn finish(outcome: &Outcome, tail: &LogTail, started: Instant) -> Result<i32, Error> {
    if outcome.interrupted.is_some() {
        return Ok(outcome.code());
    }
    if outcome.success() {
        return Ok(0);
    }
    Err(Error::Ended {
        seconds: started.elapsed().as_secs(),
        outcome: *outcome,
        reason: tail.reason().map(str::to_owned),
        remedy: match outcome.status.signal() {
            Some(9) => Some(KILLED),
            _ => tail.remedy(),
        },
    })
}

/// MAX must be able to load the kernel packages; finding out here takes seconds, in the server a minute and a traceback.
pub fn check_packages(
    context: &Context,
    sdk: &Sdk,
    environment: &Environment,
) -> Result<(), Error> {
    let packages = context.workspace.kernel_packages();
    if packages.is_empty() {
        return Err(Error::NoPackage);
    }
    // The check knows this repository's ops; a Modular checkout has its own.
    if context.workspace.layout == Layout::Modular {
        return Ok(());
    }
    let mut tail = LogTail::default();
    let outcome = Command::new(python(sdk)?)
        .environment(environment)
        .args(["-m", "mxfp4.check"])
        .args(packages)
        .output(Output::Lines)
        .run(&mut |line| tail.push(&line.text))?;
    if outcome.success() {
        return Ok(());
    }
    if outcome.interrupted.is_some() {
        return Err(mxfp4_toolchain::Error::Interrupted(outcome).into());
    }
    let reason = tail.reason().unwrap_or("the check said nothing");
    let reason = reason.strip_prefix("error: ").unwrap_or(reason);
    Err(Error::Package(reason.to_owned()))
}
