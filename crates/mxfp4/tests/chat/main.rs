//! `mxfp4 chat`, before this repository's server with an engine that answers by a script, and before small servers that
//! answer as they are told.

mod fixed;
mod once;
mod refused;
mod rig;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod tls;
mod tmux;
#[allow(dead_code, reason = "another crate uses all of it")]
#[path = "../../../server/tests/it/vocabulary.rs"]
mod vocabulary;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::support::Skip;

fn main() -> ExitCode {
    let mut trials = once::trials();
    trials.extend(refused::trials());
    trials.extend(tls::trials());
    trials.extend(terminal::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// One that says what this machine lacks.
fn skippable(name: &str, test: fn() -> Result<(), Skip>) -> Trial {
    Trial::ignorable_test(name, move || -> Result<Completion, Failed> {
        Ok(match test() {
            Ok(()) => Completion::Completed,
            Err(why) => Completion::ignored_with(format!("skipped: {why}")),
        })
    })
}
