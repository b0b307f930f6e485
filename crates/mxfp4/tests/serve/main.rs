//! `mxfp4 serve`: the command line it makes, and MAX's real server behind it.

mod command_line;
mod real_server;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let trials = command_line::trials()
        .into_iter()
        .chain(real_server::trials())
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
