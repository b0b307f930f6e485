//! `mxfp4 chat`, before this repository's server with an engine that answers by a script, and before small servers that
//! answer as they are told.

mod fixed;
mod once;
mod refused;
mod rig;
mod terminal;
mod tls;
mod tmux;
#[allow(dead_code, reason = "another crate uses all of it")]
#[path = "../../../server/tests/it/vocabulary.rs"]
mod vocabulary;

use libtest_mimic::{Completion, Failed, Trial};

use crate::support::{Skip, trial};

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials = once::trials();
    trials.extend(refused::trials());
    trials.extend(tls::trials());
    trials.extend(terminal::trials());
    trials
}

fn trial(name: &str, test: fn()) -> Trial {
    trial::test(module_path!(), name, move || {
        test();
        Ok(())
    })
}

/// One that says what this machine lacks.
fn skippable(name: &str, test: fn() -> Result<(), Skip>) -> Trial {
    trial::ignorable(
        module_path!(),
        name,
        move || -> Result<Completion, Failed> {
            Ok(match test() {
                Ok(()) => Completion::Completed,
                Err(why) => Completion::ignored_with(format!("skipped: {why}")),
            })
        },
    )
}
