use mxfp4_process::{Command, Line, Outcome, Output};

use crate::Error;

/// Runs `command` with its output on standard error and has an interruption end
/// the work; how it ended otherwise is the caller's to judge.
pub(crate) fn run(command: Command) -> Result<Outcome, Error> {
    watched(command.output(Output::Stderr), &mut |_| {})
}

/// The same with each line of its output handed to `on_line` instead.
pub(crate) fn run_with(command: Command, on_line: &mut dyn FnMut(Line)) -> Result<Outcome, Error> {
    watched(command.output(Output::Lines), on_line)
}

fn watched(command: Command, on_line: &mut dyn FnMut(Line)) -> Result<Outcome, Error> {
    let outcome = command.run(on_line)?;
    match outcome.interrupted {
        Some(_) => Err(Error::Interrupted(outcome)),
        None => Ok(outcome),
    }
}
