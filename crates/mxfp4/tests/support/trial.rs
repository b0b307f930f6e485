//! Tests with the names of their modules, as `cargo test -p mxfp4 --test it MODULE::NAME` takes them.

use std::fmt::Display;

use libtest_mimic::{Completion, Failed, Trial};

/// A test of `module`, which is [`module_path`]'s.
pub fn test(
    module: &str,
    name: impl Display,
    run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    Trial::test(full(module, name), run)
}

/// The same of one that may find that this machine lacks something.
pub fn ignorable(
    module: &str,
    name: impl Display,
    run: impl FnOnce() -> Result<Completion, Failed> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(full(module, name), run)
}

/// Tests that panic where something is wrong.
pub fn all<const N: usize>(module: &str, tests: [(&str, fn()); N]) -> Vec<Trial> {
    tests
        .map(|(name, run)| {
            test(module, name, move || {
                run();
                Ok(())
            })
        })
        .into()
}

fn full(module: &str, name: impl Display) -> String {
    // The program's own name is in each.
    let module = module.split_once("::").map_or("", |(_, module)| module);
    format!("{module}::{name}")
}
