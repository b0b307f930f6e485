//! `mxfp4 serve`: the command line it makes, and MAX's real server behind it; `mxfp4 bench serve`; who may ask it.

mod access;
mod command_line;
mod driven;
mod load_generator;
mod real_server;
mod stand_in_gpu;

use libtest_mimic::Trial;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials = command_line::trials();
    trials.extend(access::trials());
    trials.extend(stand_in_gpu::trials());
    trials.extend(driven::trials());
    trials.extend(load_generator::trials());
    trials.extend(real_server::trials());
    trials
}
