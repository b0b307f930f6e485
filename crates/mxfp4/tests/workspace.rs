//! `mxfp4 test` on this repository, so that `cargo test --workspace` runs the Mojo and the Python tests too and prints
//! their counts. With MXFP4_TEST_FROM_BUNDLE set it runs them in what a bundle of this repository unpacks to: what a test
//! needs travels.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};
use support::{folder, repository, run, sdk};
use tempfile::TempDir;

fn main() -> ExitCode {
    let trials = vec![Trial::test("mojo_and_python_tests", mojo_and_python_tests)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn mojo_and_python_tests() -> Result<(), Failed> {
    let from_bundle =
        std::env::var_os("MXFP4_TEST_FROM_BUNDLE").is_some_and(|value| !value.is_empty());
    if from_bundle {
        let bundle = TempDir::new()?;
        let root = unpacked(bundle.path())?;
        // Its own SDK is a stand-in.
        return test(&root, Some(&sdk()?));
    }
    test(&repository(), None)
}

fn test(root: &Path, sdk: Option<&Path>) -> Result<(), Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mxfp4"));
    command
        .arg("test")
        .current_dir(root.canonicalize()?)
        .env_remove("MXFP4_ROOT");
    if let Some(sdk) = sdk {
        command.env("MXFP4_SDK", sdk);
    }
    // Nothing else runs beside this program, and a job keeps one core busy: half of two or three would be a single job.
    let cores = std::thread::available_parallelism()?.get();
    if (2..4).contains(&cores) {
        command.arg("--jobs=2");
    }
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "`mxfp4 test` in {} failed ({status}), see above",
        root.display()
    )
    .into())
}

/// What a bundle of this repository unpacks to. The SDK, which is large and comes from uv, is a few files that stand in
/// for it.
fn unpacked(scratch: &Path) -> Result<PathBuf, Failed> {
    let sdk = folder([
        (
            "modular/bin/mojo",
            "#!/bin/sh\nfor output; do :; done\necho package > \"$output\"\n",
        ),
        ("modular/lib/mojo/std.mojoc", "std"),
        ("max/_core.cpython-311-x86_64-linux-gnu.so", "core"),
        (
            "max-26.7.0.dist-info/METADATA",
            "Name: max\nVersion: 26.7.0\n",
        ),
        (
            "mojo-1.2.0.dist-info/METADATA",
            "Name: mojo\nVersion: 1.2.0\n",
        ),
    ]);
    let mojo = sdk.path().join("modular/bin/mojo");
    fs::set_permissions(mojo, fs::Permissions::from_mode(0o755))?;
    let (bundle, root) = (scratch.join("bundle"), scratch.join("mxfp4"));
    for (verb, option, folder, cwd, last) in [
        (
            "create",
            "--output",
            &bundle,
            &repository(),
            Some(sdk.path()),
        ),
        ("unpack", "--into", &root, &bundle, None),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mxfp4"));
        command
            .args(["bundle", verb, option])
            .arg(folder)
            .current_dir(cwd);
        command.args(
            last.iter()
                .flat_map(|sdk| ["--sdk".as_ref(), sdk.as_os_str()]),
        );
        let ran = run(command.env_remove("MXFP4_ROOT"));
        if ran.code != Some(0) {
            return Err(format!("`mxfp4 bundle {verb}` failed: {}", ran.stderr).into());
        }
    }
    Ok(root)
}
