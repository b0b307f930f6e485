//! A workspace with an SDK that only pretends: its compiler writes down what it is asked to compile.

use std::ops::Deref;
use std::process::Command;

use super::TestWorkspace;

/// Where the SDK's `modular` is in the workspace.
pub const MODULAR: &str = "sdk/lib/python3.11/site-packages/modular";

/// `precompile` and `build` write an output, unless the package says `broken`; `run` runs the file as a shell script.
const MOJO: &str = "#!/bin/sh\n\
    command=$1 source=$2\n\
    while [ $# -gt 1 ]; do [ \"$1\" = -o ] && output=$2; shift; done\n\
    case $command in\n\
    --version) echo 'Mojo 1.2.0 (stub)' ;;\n\
    precompile | build)\n\
        if grep -qs broken \"$source/__init__.mojo\"; then echo 'not today' >&2; exit 1; fi\n\
        echo \"compiled $source\" > \"$output\" ;;\n\
    run) exec sh \"$1\" ;;\n\
    esac\n";

/// The workspace.
pub struct Stub(TestWorkspace);

impl Deref for Stub {
    type Target = TestWorkspace;

    fn deref(&self) -> &TestWorkspace {
        &self.0
    }
}

impl Stub {
    /// One with a package `kernels/mxfp4`, a Mojo test, and these files; `mxfp4.toml` gets `config` besides.
    pub fn new(config: &str, files: &[(&str, &str)]) -> Self {
        let mojo = format!("{MODULAR}/bin/mojo");
        let std = format!("{MODULAR}/lib/mojo/std.mojoc");
        let config = format!("[sdk]\npath = \"sdk\"\n{config}");
        let mut all = vec![
            ("mxfp4.toml", config.as_str()),
            ("kernels/mxfp4/__init__.mojo", "one"),
            ("kernels/test/test_a.mojo", "echo PASS one"),
            ("sdk/pyvenv.cfg", "version_info = 3.11.7\n"),
            ("sdk/bin/python", ""),
            (&mojo, MOJO),
            (&std, "std"),
        ];
        all.extend(files);
        let stub = Self(TestWorkspace::new(all));
        stub.make_executable(&mojo);
        stub
    }

    /// `mxfp4` in it, without a GPU.
    pub fn mxfp4(&self, args: &[&str]) -> Command {
        let mut command = self.0.command();
        command.env("CUDA_VISIBLE_DEVICES", "").args(args);
        command
    }
}
