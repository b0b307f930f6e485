//! A kernel package, by the real compiler: that of a new workspace.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::faults::Subject;
use crate::support::{Ran, Skip, folder, mxfp4, run, sdk};

/// A workspace whose source changes with every round: there are two versions, in turn.
pub struct Build {
    root: TempDir,
    sdk: PathBuf,
    source: String,
    /// The package of each version, as an undisturbed compiler makes it.
    expected: [Vec<u8>; 2],
}

impl Build {
    /// Builds both versions once.
    pub fn new() -> Result<Self, Skip> {
        let sdk = sdk()?;
        let root = folder([("kernel/", "")]);
        let ran = run(mxfp4(root.path()).args(["init", "--name", "kernel", "kernel"]));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let source = root.path().join("kernel/kernels/kernel/arithmetic.mojo");
        let source = fs::read_to_string(source).expect("the workspace has it");
        let mut build = Self {
            root,
            sdk,
            source,
            expected: [Vec::new(), Vec::new()],
        };
        for version in [0, 1] {
            build.prepare(version);
            let ran = run(&mut build.command());
            assert_eq!(ran.code, Some(0), "{ran:?}");
            build.expected[version] = build.package().expect("it was built");
        }
        assert_ne!(build.expected[0], build.expected[1]);
        Ok(build)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("kernel").join(name)
    }

    fn package(&self) -> Option<Vec<u8>> {
        fs::read(self.path("build/kernel.mojoc")).ok()
    }
}

impl Subject for Build {
    fn prepare(&mut self, round: usize) {
        let text = match round % 2 {
            0 => self.source.clone(),
            _ => self.source.replace("return x + x", "return x + x + x"),
        };
        fs::write(self.path("kernels/kernel/arithmetic.mojo"), text).expect("it can be written");
    }

    fn command(&self) -> Command {
        let mut command = mxfp4(&self.path(""));
        command.env("MXFP4_SDK", &self.sdk).arg("build");
        command
    }

    fn after_kill(&mut self, _round: usize) -> Result<(), String> {
        // There has always been one: it is the old or the new.
        match self.package() {
            Some(package) if self.expected.contains(&package) => Ok(()),
            found => Err(format!(
                "the package is neither the old nor the new one: {:?} bytes",
                found.map(|package| package.len())
            )),
        }
    }

    fn whole(&mut self, round: usize, ran: &Ran) -> Result<(), String> {
        let path = self.path("build/kernel.mojoc");
        if ran.stdout != format!("{}\n", path.display()) {
            return Err(format!("another path is printed: {ran:?}"));
        }
        if self.package().as_ref() != Some(&self.expected[round % 2]) {
            return Err("the package is not that of the source".to_owned());
        }
        let entries = fs::read_dir(self.path("build")).expect("it can be read");
        let names = entries.map(|entry| entry.expect("it can be read").file_name());
        let mut left = names.filter(|name| name.to_string_lossy().contains(".partial-"));
        match left.next() {
            Some(name) => Err(format!("{} is left", name.display())),
            None => Ok(()),
        }
    }
}
