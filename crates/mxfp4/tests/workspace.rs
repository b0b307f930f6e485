//! `mxfp4 test` on this repository, so that `cargo test --workspace` runs the Mojo and the Python tests too and prints
//! their counts.

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let trials = vec![Trial::test("mojo_and_python_tests", mojo_and_python_tests)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn mojo_and_python_tests() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new(env!("CARGO_BIN_EXE_mxfp4"))
        .arg("test")
        .current_dir(root.canonicalize()?)
        .env_remove("MXFP4_ROOT")
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("`mxfp4 test` failed ({status}), see above").into())
}
