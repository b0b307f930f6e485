//! Finding the tree that `mxfp4` works in.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use crate::absolute::absolute;
use crate::bazel::{self, BazelOutputs};
use crate::config::{self, Config, Label};
use crate::layout::Layout;
use crate::{Ambient, Error};

/// The tree whose root was found, and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its root, absolute. A symlink stays one: its name may be the reason for it.
    pub root: PathBuf,
    /// How it is laid out.
    pub layout: Layout,
    /// The settings of its `mxfp4.toml`, defaults filled in.
    pub config: Config,
}

impl Workspace {
    /// Finds the workspace: at `explicit_root` where given, else from `cwd` upward.
    pub fn find(explicit_root: Option<&Path>, cwd: &Path) -> Result<Self, Error> {
        let (root, layout) = Self::locate(explicit_root, cwd)?;
        Self::load(root, layout)
    }

    /// Its root, and how it is laid out, without a look at its configuration.
    pub fn locate(explicit_root: Option<&Path>, cwd: &Path) -> Result<(PathBuf, Layout), Error> {
        if let Some(root) = explicit_root {
            return Self::at(&absolute(root, cwd));
        }
        for folder in cwd.ancestors() {
            if let Some(layout) = Layout::of(folder) {
                return Ok((folder.to_path_buf(), layout));
            }
        }
        Err(Error::NoWorkspace(cwd.to_owned()))
    }

    fn at(root: &Path) -> Result<(PathBuf, Layout), Error> {
        if let Some(layout) = Layout::of(root) {
            return Ok((root.to_path_buf(), layout));
        }
        let what = if root.is_dir() {
            format!(
                "has neither an {} nor `bazelw` and `max/kernels/src`",
                config::FILE
            )
        } else if root.exists() {
            "is not a folder".into()
        } else {
            "does not exist".into()
        };
        Err(Error::NotRoot {
            root: root.to_owned(),
            why: what,
        })
    }

    /// The workspace at `root` whose `mxfp4.toml` holds `text`, `None` where there is
    /// no such file: for who has read it already, and must not read another one.
    pub fn with_config(root: PathBuf, layout: Layout, text: Option<&str>) -> Result<Self, Error> {
        let path = root.join(config::FILE);
        let config = Config::parse(text.unwrap_or_default(), &path, layout)?;
        Ok(Self {
            root,
            layout,
            config,
        })
    }

    fn load(root: PathBuf, layout: Layout) -> Result<Self, Error> {
        let config = Config::load(&root, layout)?;
        Ok(Self {
            root,
            layout,
            config,
        })
    }

    /// The virtual environment that `mxfp4 setup` makes.
    pub fn venv_dir(&self) -> PathBuf {
        self.root.join(".venv")
    }

    /// Where `mxfp4 build` puts the kernel packages of a standalone workspace.
    pub fn build_dir(&self) -> PathBuf {
        self.root.join("build")
    }

    /// Where the product keeps what it can make again.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(".mxfp4")
    }

    /// Bazel's outputs in a Modular checkout: where the last build put them, else what Bazel's link leads to.
    pub fn bazel_bin(&self) -> PathBuf {
        let outputs = self.bazel_outputs();
        outputs.map_or_else(|| self.bazel_link(), |outputs| outputs.bin)
    }

    /// Bazel's own link to its outputs.
    pub fn bazel_link(&self) -> PathBuf {
        self.root.join("bazel-bin")
    }

    /// What Bazel builds in a Modular checkout: the target of MAX's own kernels, then the custom ones.
    pub fn bazel_labels(&self) -> Vec<&Label> {
        let bazel = &self.config.bazel;
        bazel::kernel_api(&self.root, &bazel.kernel_api)
            .into_iter()
            .chain(&bazel.targets)
            .collect()
    }

    /// What Bazel builds of the checkout's Mojo and of its Python sources comes before them, under these names, whether it
    /// is there or not: for files that hold no path of a machine.
    pub fn bazel_paths(&self) -> [PathBuf; 2] {
        BUILT.map(|built| self.bazel_link().join(built))
    }

    /// Paths that come and go, and that the environment with the compiler `mojo` depends on.
    pub fn watched(&self, mojo: Option<PathBuf>) -> Vec<PathBuf> {
        let mut paths = vec![self.venv_dir(), self.root.join("scripts/shims")];
        if self.layout == Layout::Modular {
            paths.push(self.root.join(".pixi/envs/default"));
            paths.extend(BUILT.map(|built| self.bazel_bin().join(built)));
            paths.push(self.bazel_outputs_folder());
            paths.extend(self.kept_outputs().map(|(_, file)| file));
        }
        paths.extend(mojo);
        for stem in self.package_candidates().iter().flatten() {
            paths.extend(package_files(stem));
        }
        paths.extend(
            self.bazel_outputs()
                .into_iter()
                .flat_map(|outputs| outputs.packages),
        );
        paths
    }

    /// The kernel packages that are built, in the order in which they are loaded.
    ///
    /// This is what `mxfp4 build` prints and what `MAX_CUSTOM_EXTENSIONS` holds.
    pub fn kernel_packages(&self) -> Vec<PathBuf> {
        if let Some(outputs) = self.bazel_outputs() {
            let packages = outputs.packages.into_iter();
            return packages.filter(|package| package.is_file()).collect();
        }
        let mut packages = Vec::new();
        for group in self.package_candidates() {
            if let Some(package) = group.iter().find_map(|stem| built_package(stem))
                && !packages.contains(&package)
            {
                packages.push(package);
            }
        }
        packages
    }

    /// What the last build made, where it built in this checkout what would be built now.
    pub fn bazel_outputs(&self) -> Option<BazelOutputs> {
        self.kept_outputs().map(|(outputs, _)| outputs)
    }

    /// Where that is kept.
    pub fn bazel_outputs_folder(&self) -> PathBuf {
        BazelOutputs::folder(&self.state_dir())
    }

    fn kept_outputs(&self) -> Option<(BazelOutputs, PathBuf)> {
        match self.layout {
            Layout::Standalone => None,
            Layout::Modular => {
                BazelOutputs::kept(&self.root, &self.state_dir(), &self.bazel_labels())
            }
        }
    }

    /// Where a kernel package of this workspace may be, without the extension:
    /// of each group the first that exists is the one.
    pub(crate) fn package_candidates(&self) -> Vec<Vec<PathBuf>> {
        let built = |kernel: &config::Kernel| vec![self.build_dir().join(kernel.name.as_str())];
        match self.layout {
            Layout::Standalone => self.config.kernels.iter().map(built).collect(),
            Layout::Modular => {
                let bazel = &self.config.bazel;
                let bin = self.bazel_bin();
                let known = bazel.packages.iter().map(|path| {
                    let mut stem = bin.join(path);
                    if stem.extension().is_some_and(is_package_extension) {
                        stem.set_extension("");
                    }
                    stem
                });
                let targets = bazel
                    .targets
                    .iter()
                    .map(|label| vec![bin.join(label.package()).join(label.name())]);
                std::iter::once(known.collect()).chain(targets).collect()
            }
        }
    }
}

/// Where Bazel puts what it builds of Mojo and of Python sources.
const BUILT: [&str; 2] = ["max/kernels/src", "max/python"];

/// `.mojoc` is Mojo 1.x, `.mojopkg` is 0.x.
const PACKAGE_EXTENSIONS: [&str; 2] = ["mojoc", "mojopkg"];

fn is_package_extension(extension: &std::ffi::OsStr) -> bool {
    PACKAGE_EXTENSIONS.iter().any(|known| extension == *known)
}

/// The file names that the package at `stem` may have.
pub(crate) fn package_files(stem: &Path) -> [PathBuf; 2] {
    PACKAGE_EXTENSIONS.map(|extension| {
        let mut file = stem.as_os_str().to_owned();
        file.push(".");
        file.push(extension);
        file.into()
    })
}

/// The package at `stem`; of two, which a change of SDK leaves behind, the newer one.
fn built_package(stem: &Path) -> Option<PathBuf> {
    let modified = |file: PathBuf| -> Option<(SystemTime, PathBuf)> {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), file))
    };
    let newer = package_files(stem)
        .into_iter()
        .filter_map(modified)
        .reduce(|first, second| if second.0 > first.0 { second } else { first });
    newer.map(|(_, file)| file)
}

/// The current folder by the name that the user reached it by.
///
/// A shell keeps that name in `PWD`, symlinks included; the kernel forgets it.
pub fn logical_cwd(physical: PathBuf, ambient: &Ambient) -> PathBuf {
    let same = |pwd: &Path| {
        let (Ok(one), Ok(other)) = (pwd.metadata(), physical.metadata()) else {
            return false;
        };
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    let plain = |part| !matches!(part, Component::ParentDir | Component::CurDir);
    match ambient.get("PWD").map(Path::new) {
        Some(pwd) if pwd.is_absolute() && pwd.components().all(plain) && same(pwd) => pwd.into(),
        _ => physical,
    }
}

#[cfg(test)]
mod tests;
