//! The SDK, by the real uv from this repository's lock file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::faults::{Subject, are_few};
use crate::support::{Ran, Skip, folder, mxfp4, repository, run, sdk, tool};
use crate::tree::{Tree, compare, tree};

/// A workspace whose SDK is made. In an odd round there is one of an older lock file.
pub struct Setup {
    root: TempDir,
    lock: String,
    path: String,
    cache: PathBuf,
    /// What is made, once that is known.
    expected: Option<Tree>,
}

impl Setup {
    /// Takes a uv and its cache as setup left them, for this is no place to fetch gigabytes.
    pub fn new() -> Result<Self, Skip> {
        let root = folder([("python/", "")]);
        let files = ["mxfp4.toml", "python/pyproject.toml", "python/uv.lock"];
        for name in files {
            fs::copy(repository().join(name), root.path().join(name)).expect("it can be copied");
        }
        let uv = uv()?;
        let ambient = std::env::var("PATH").unwrap_or_default();
        let path = format!(
            "{}:{ambient}",
            uv.parent().unwrap_or(Path::new("/")).display()
        );
        let home = |folder: &str| Some(PathBuf::from(std::env::var_os("HOME")?).join(folder));
        let cache = std::env::var_os("UV_CACHE_DIR")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("XDG_CACHE_HOME")?).join("uv")))
            .or_else(|| home(".cache/uv"))
            .ok_or("there is no HOME, and so no cache of uv's")?;
        let lock = fs::read_to_string(root.path().join("python/uv.lock")).expect("it was copied");
        let lock = match are_few() {
            true => small(&lock),
            false => lock,
        };
        fs::write(root.path().join("python/uv.lock"), &lock).expect("it can be written");
        let setup = Self {
            root,
            lock,
            path,
            cache,
            expected: None,
        };
        let ran = run(&mut setup.command());
        match ran.code {
            Some(0) => Ok(setup),
            _ => Err(format!("uv's cache does not hold the SDK: {}", ran.stderr)),
        }
    }

    fn mxfp4(&self, args: &[&str]) -> Command {
        let mut command = mxfp4(self.root.path());
        command
            .env("PATH", &self.path)
            .env("UV_CACHE_DIR", &self.cache)
            .env("UV_OFFLINE", "1")
            .args(args);
        command
    }

    fn venv(&self) -> PathBuf {
        self.root.path().join(".venv")
    }

    /// Whether it is what setup makes: whole.
    fn check(&mut self) -> Result<(), String> {
        let mut found = tree(&self.venv());
        // It tells of the lock file, which is another each time.
        let record = found.remove(Path::new("mxfp4-setup.json"));
        record.ok_or("the environment has no record")?;
        compare(
            ".venv",
            &found,
            self.expected.get_or_insert_with(|| found.clone()),
        )
    }
}

impl Subject for Setup {
    fn prepare(&mut self, round: usize) {
        if round.is_multiple_of(2) && self.venv().exists() {
            fs::remove_dir_all(self.venv()).expect("it can be removed");
        }
        let lock = format!("{}# {round}\n", self.lock);
        fs::write(self.root.path().join("python/uv.lock"), lock).expect("it can be written");
    }

    fn command(&self) -> Command {
        self.mxfp4(&["setup"])
    }

    fn after_kill(&mut self, round: usize) -> Result<(), String> {
        if self.venv().exists() {
            return self.check();
        }
        if round % 2 == 1 {
            return Err("the SDK that was there is gone".to_owned());
        }
        let ran = run(&mut self.mxfp4(&["env", "--strict"]));
        match ran.code {
            Some(4) => Ok(()),
            _ => Err(format!("an SDK is used that is not there: {ran:?}")),
        }
    }

    fn whole(&mut self, _round: usize, _ran: &Ran) -> Result<(), String> {
        self.check()?;
        let entries = fs::read_dir(self.root.path()).expect("it can be read");
        let names = entries.map(|entry| entry.expect("it can be read").file_name());
        let mut left = names.filter(|name| name.to_string_lossy().contains(".partial-"));
        if let Some(name) = left.next() {
            return Err(format!("{} is left", name.display()));
        }
        let ran = run(&mut self.mxfp4(&["run", "--", "mojo", "--version"]));
        match ran.code {
            Some(0) if ran.stdout.contains("Mojo") => Ok(()),
            _ => Err(format!("its compiler does not run: {ran:?}")),
        }
    }
}

/// The lock file without what serves and what tests: MAX and Mojo alone are a third of the modules, and compiling them is
/// what takes the time.
fn small(lock: &str) -> String {
    let serves = "{ name = \"max\", extra = [\"serve\"] }";
    let (before, tests) = lock
        .split_once("\ndev = [\n    {")
        .expect("the project has a group `dev`");
    let (_, after) = tests.split_once("\n]\n").expect("it has an end");
    assert_eq!(before.matches(serves).count(), 1, "the project takes MAX");
    let before = before.replace(serves, "{ name = \"max\" }");
    format!("{before}\ndev = []\n{after}")
}

/// The uv on PATH, or the one that setup took from the lock file.
fn uv() -> Result<PathBuf, Skip> {
    let own = || {
        let sdk = sdk().ok()?;
        Some(sdk.parent()?.join(".mxfp4/tools/bin/uv")).filter(|uv| uv.is_file())
    };
    tool("uv").or_else(|why| own().ok_or(why))
}
