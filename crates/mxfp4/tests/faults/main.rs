//! `mxfp4` is killed with SIGKILL at random moments of what it makes: the SDK, a kernel package, a bundle, an unpacked
//! workspace. Whatever is there then is whole, the same command makes the rest, and nothing is left behind.
//!
//! `MXFP4_FAULTS` is how often in all, and takes the SDK with all that the lock file names; without it there are a few
//! kills, and the SDK is MAX and Mojo alone. `MXFP4_FAULTS_SEED` draws the moments of an earlier run again.

mod build;
mod bundle;
mod faults;
mod moments;
mod setup;
#[path = "../support/mod.rs"]
mod support;
mod tree;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use crate::faults::{Faults, Subject};
use crate::support::Skip;

/// Makes a subject, where the machine has what it takes.
type New = fn() -> Result<Box<dyn Subject>, Skip>;

fn main() -> ExitCode {
    let subjects: [(&str, New); 4] = [
        ("setup", || Ok(Box::new(setup::Setup::new()?))),
        ("build", || Ok(Box::new(build::Build::new()?))),
        ("bundle_create", || Ok(Box::new(bundle::Create::new()))),
        ("bundle_unpack", || Ok(Box::new(bundle::Unpack::new()))),
    ];
    let faults = Faults::from_environment(subjects.len());
    let trials = subjects
        .into_iter()
        .enumerate()
        .map(|(index, (name, new))| {
            Trial::ignorable_test(
                format!("a_killed_{name}_corrupts_nothing"),
                move || match new() {
                    Err(why) => Ok(Completion::ignored_with(why)),
                    Ok(mut subject) => {
                        faults.inject(index, name, &mut *subject)?;
                        Ok(Completion::Completed)
                    }
                },
            )
        });
    let mut arguments = Arguments::from_args();
    // One at a time: how long a command takes is measured, and the moments are drawn from that.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
