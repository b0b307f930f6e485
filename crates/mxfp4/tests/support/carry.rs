//! What the tests of bundles start from: a workspace whose compiler and whose uv only pretend.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{MODEL, Ran, folder, run};

/// Makes a "package" of the names of its arguments, and says that it did.
pub const MOJO: &str = r#"#!/bin/sh
for output; do :; done
echo "package" > "$output"
"#;

/// Makes what uv would make of a file system, as `$BEHAVIOUR` asks, and keeps a log.
const UV: &str = r#"#!/bin/sh
echo "$*" >> "$LOG"
case "$1" in
--version) echo "uv 0.13.9" ;;
export) for file; do :; done; echo "max==26.7.0" > "$file" ;;
pip)
    [ "$BEHAVIOUR" = fail ] && { echo "no such wheel" >&2; exit 2; }
    while [ "$1" != --target ]; do shift; done
    : > "$2/.lock"
    cp -r "$SDK/." "$2/" ;;
esac
"#;

const LOCK: &str = "version = 1\n[[package]]\nname = \"max\"\nversion = \"26.7.0\"\n\
                    [[package]]\nname = \"mojo\"\nversion = \"1.2.0\"\n";

/// The configuration of the workspace.
pub const CONFIG: &str = "# ours\n[sdk]\nmax = \"26.7.0\"\n\n[[kernels]]\nname = \"tiny\"\nsource = \"kernels/tiny\"\n\n\
                      [serve]\nmodel = \"model\"\n";

/// A workspace, an SDK for Python 3.12, and programs on PATH: `python3.12` and uv.
pub struct Place {
    /// Where all of it is; the workspace is in `here`, the SDK in `sdk`.
    pub folder: TempDir,
}

impl Place {
    /// A new one.
    pub fn new() -> Self {
        let files = [
            ("here/mxfp4.toml", CONFIG),
            ("here/.gitignore", "*.log\n/model/\n"),
            ("here/kernels/tiny/__init__.mojo", "# one\n"),
            ("here/kernels/tiny/build.log", "no source"),
            ("here/python/uv.lock", LOCK),
            ("here/python/pyproject.toml", ""),
            ("here/python/mxfp4/__init__.py", ""),
            ("here/python/mxfp4/start.py", ""),
            ("here/python/mxfp4/__pycache__/x.pyc", ""),
            ("here/notes/mine.txt", "private"),
            ("sdk/modular/bin/mojo", MOJO),
            ("sdk/modular/lib/mojo/std.mojoc", "std"),
            ("sdk/max/_core.cpython-312-x86_64-linux-gnu.so", "core"),
            ("sdk/max/_entrypoints/pipelines.py", "--host"),
            ("sdk/max/_ops/__init__.py", ""),
            ("sdk/max/_ops/ops.mojo", "# ops"),
            (
                "sdk/max/_ops/__mojocache__/ops.hash-0.so",
                "of another machine",
            ),
            ("sdk/max-26.7.0.dist-info/METADATA", ""),
            ("sdk/mojo-1.2.0.dist-info/METADATA", ""),
            ("sdk/max/__pycache__/x.pyc", ""),
            ("programs/uv", UV),
        ];
        let place = Self {
            folder: folder(files),
        };
        for (name, text) in *MODEL {
            place.write(&format!("here/model/{name}"), text);
        }
        // An interpreter is told by its name, and not a script.
        fs::copy("/bin/true", place.path("programs/python3.12")).unwrap();
        for program in ["sdk/modular/bin/mojo", "programs/uv"] {
            fs::set_permissions(place.path(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        place
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and makes the folders above it.
    pub fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// `program` as on a machine of this place.
    pub fn on(&self, program: &Path, cwd: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/env");
        let path = format!("{}:/usr/bin:/bin", self.path("programs").display());
        command
            .arg("--default-signal=HUP,INT,QUIT,TERM")
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("LOG", self.path("log"))
            .env("SDK", self.path("sdk"))
            .current_dir(cwd);
        command
    }

    /// `mxfp4` in the workspace.
    pub fn mxfp4(&self, args: &[&str]) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_mxfp4"));
        self.on(program, &self.path("here"), args)
    }

    /// Runs `mxfp4 bundle create`.
    pub fn create(&self, args: &[&str]) -> Ran {
        run(self.mxfp4(&["bundle", "create"]).args(args))
    }

    /// Has a bundle's own program unpack it to `into`.
    pub fn unpack(&self, bundle: &Path, into: &str) -> Ran {
        let into = self.path(into);
        let args = ["bundle", "unpack", "--into", into.to_str().unwrap()];
        run(&mut self.on(&bundle.join("mxfp4"), self.folder.path(), &args))
    }

    /// The program of an unpacked workspace, in it.
    pub fn in_workspace(&self, workspace: &str, args: &[&str]) -> Command {
        let workspace = self.path(workspace);
        self.on(&workspace.join("mxfp4"), &workspace, args)
    }

    /// What the place's uv was asked.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The names in the place that are neither there from the beginning nor `expected`.
    pub fn leftovers(&self, expected: &[&str]) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !["here", "sdk", "programs", "log"].contains(&name.as_str()))
            .filter(|name| !expected.contains(&name.as_str()))
            .collect();
        names.sort();
        names
    }
}
