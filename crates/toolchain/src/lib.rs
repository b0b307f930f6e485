//! Makes what the other commands need: the SDK ([`setup`]) and the kernel
//! packages ([`build`]).
//!
//! Everything is made aside and renamed into place under a file lock, so a
//! reader sees the old state or the new one, whenever it looks and however the
//! making ended.

pub mod build;
pub mod carry;
pub mod clean;
pub mod diagnostics;
mod error;
mod files;
mod inputs;
mod interpreter;
mod lock;
mod lock_file;
mod pyproject;
mod record;
pub mod setup;
pub mod upgrade;
mod uv;

use mxfp4_process::{Command, Line, Outcome, Output};

pub use error::Error;
pub use uv::{OLDEST as OLDEST_UV, Uv, look as look_at_uv};

/// Runs `command` with its output on standard error and has an interruption end
/// the work; how it ended otherwise is the caller's to judge.
fn run(command: Command) -> Result<Outcome, Error> {
    watched(command.output(Output::Stderr), &mut |_| {})
}

/// The same with each line of its output handed to `on_line` instead.
fn run_with(command: Command, on_line: &mut dyn FnMut(Line)) -> Result<Outcome, Error> {
    watched(command.output(Output::Lines), on_line)
}

fn watched(command: Command, on_line: &mut dyn FnMut(Line)) -> Result<Outcome, Error> {
    let outcome = command.run(on_line)?;
    match outcome.interrupted {
        Some(_) => Err(Error::Interrupted(outcome)),
        None => Ok(outcome),
    }
}
