//! A workspace with an SDK that only pretends: its compiler writes down what it is asked to compile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{folder, mxfp4};

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

/// The workspace; it is removed when this is dropped.
pub struct Stub(tempfile::TempDir);

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
        let stub = Self(folder(all));
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(stub.path(&mojo), executable).expect("it is there");
        stub
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// A path below the root.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }

    /// `mxfp4` in it, without a GPU.
    pub fn mxfp4(&self, args: &[&str]) -> Command {
        let mut command = mxfp4(self.root());
        command.env("CUDA_VISIBLE_DEVICES", "").args(args);
        command
    }
}
