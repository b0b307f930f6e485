//! The command line as its users meet it: one program, so that it is linked once. Each module has its tests in `trials`;
//! `cargo test -p mxfp4 --test it clean::` runs those of one.

mod bench;
mod build;
mod bundle;
mod chat;
mod clean;
mod color;
mod completions;
mod doctor;
mod env;
mod errors;
mod fmt;
mod freshness;
mod init;
mod max_settings;
mod model;
mod modular;
mod places;
mod pytest;
mod refusals;
mod runner;
mod serve;
mod setup;
mod shells;
#[path = "../support/mod.rs"]
mod support;
mod upgrade;
mod version;
mod vscode;
mod watch;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = [
        bench::trials(),
        build::trials(),
        bundle::trials(),
        chat::trials(),
        clean::trials(),
        color::trials(),
        completions::trials(),
        doctor::trials(),
        env::trials(),
        errors::trials(),
        fmt::trials(),
        freshness::trials(),
        init::trials(),
        max_settings::trials(),
        model::trials(),
        modular::trials(),
        places::trials(),
        pytest::trials(),
        refusals::trials(),
        runner::trials(),
        serve::trials(),
        setup::trials(),
        shells::trials(),
        upgrade::trials(),
        version::trials(),
        vscode::trials(),
        watch::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
