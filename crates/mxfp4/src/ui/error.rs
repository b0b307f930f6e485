//! How an error is told.

use std::fmt::Display;
use std::io;

use super::color::{self, styled};
use crate::exit;
use mxfp4_toolchain::visible::visible_lines;

/// Prints `error: ...` to stderr.
pub fn print(error: &anyhow::Error) {
    line(&message(error));
}

/// Prints `error: ` and a message.
pub fn line(message: &str) {
    let message = visible_lines(message);
    eprintln!("{} {message}", styled(color::ERROR, "error:"));
}

/// The error, its causes and what to do about it, each said once, without a backtrace.
pub fn message(error: &anyhow::Error) -> String {
    let what = what(error);
    match exit::hint(error) {
        Some(hint) if !what.contains(&hint) => format!("{what}; {hint}"),
        _ => what,
    }
}

/// The same of an error that stopped nothing.
pub fn told(error: &mxfp4_launch::Error) -> String {
    hinted(error, error.hint().as_deref())
}

/// What is wrong, and what to do about it.
pub fn hinted(what: &dyn Display, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("{what}; {hint}"),
        None => what.to_string(),
    }
}

/// The error and its causes alone.
pub fn what(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A reader that closed its end (`mxfp4 env | head -1`) got what it wanted.
///
/// Only an error that nothing was added to comes from writing a result to
/// stdout: a server or a child that hung up is told with what was being done.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().len() == 1
        && error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("no such file")
            .context("cannot read x: no such file")
            .context("cannot start");
        assert_eq!(message(&error), "cannot start: cannot read x: no such file");
    }

    #[test]
    fn only_a_bare_broken_pipe_is_success() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&broken().into()));
        assert!(!is_broken_pipe(
            &anyhow::Error::from(broken()).context("cannot ask the server")
        ));
        assert!(!is_broken_pipe(
            &io::Error::from(io::ErrorKind::StorageFull).into()
        ));
    }
}
