//! Finding the MAX and Mojo packages that a workspace uses.
//!
//! Everything is told from files; no program is asked for its version.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::absolute::absolute;
use crate::config::{PythonVersion, Version};
use crate::layout::Layout;
use crate::{Ambient, Error, Workspace, restore};

/// The MAX and Mojo packages that a workspace uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdk {
    /// The folder that holds `bin/mojo` and `lib/mojo`.
    pub modular: PathBuf,
    /// The folder of the Python packages: `site-packages`, or a carried tree.
    pub site: PathBuf,
    /// The interpreter that matches the packages, where there is one.
    pub python: Option<PathBuf>,
    /// The Python that the packages were made for, where it can be told.
    pub python_version: Option<PythonVersion>,
    /// Whether the interpreter finds the packages by itself, or needs `PYTHONPATH`.
    pub is_portable: bool,
    /// How it was found.
    pub source: SdkSource,
}

/// How an SDK was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdkSource {
    /// `MXFP4_SDK` names it.
    Variable,
    /// `sdk.path` of `mxfp4.toml` names it.
    Config,
    /// The environment inside the workspace.
    Workspace,
    /// The active environment that this variable names.
    Active(&'static str),
    /// The `mojo` on `PATH` belongs to it.
    Path,
}

impl fmt::Display for SdkSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str("MXFP4_SDK names it"),
            Self::Config => f.write_str("`sdk.path` of mxfp4.toml names it"),
            Self::Workspace => f.write_str("the workspace's own"),
            Self::Active(variable) => write!(f, "the active environment, {variable}"),
            Self::Path => f.write_str("the mojo on PATH belongs to it"),
        }
    }
}

impl Sdk {
    /// Finds the SDK of `workspace`, or `None` where there is none.
    ///
    /// One that is asked for by name and is not there is an error, not a reason
    /// to use another one.
    pub fn find(workspace: &Workspace, ambient: &Ambient) -> Result<Option<Self>, Error> {
        // An activated workspace's own entries of PATH say nothing about the user's SDKs.
        let ambient = &restore::before(ambient);
        let search = Search::new(workspace, ambient);
        if let Some(path) = ambient.get_nonempty("MXFP4_SDK") {
            let cwd = std::env::current_dir().unwrap_or_else(|_| "/".into());
            let path = absolute(Path::new(path), &cwd);
            return search
                .named(&path, SdkSource::Variable, "MXFP4_SDK")
                .map(Some);
        }
        if let Some(path) = &workspace.config.sdk.path {
            let path = absolute(path.as_ref(), &workspace.root);
            return search
                .named(&path, SdkSource::Config, "`sdk.path` in mxfp4.toml")
                .map(Some);
        }
        Ok(search
            .inside()
            .or_else(|| search.active())
            .or_else(|| search.on_path()))
    }

    /// The native compiler driver, never the Python script of the same name.
    pub fn mojo(&self) -> PathBuf {
        self.modular.join("bin/mojo")
    }

    /// The folder of the precompiled Mojo packages.
    pub fn lib_mojo(&self) -> PathBuf {
        self.modular.join("lib/mojo")
    }

    /// The folder of the native programs.
    pub fn bin(&self) -> PathBuf {
        self.modular.join("bin")
    }

    /// The folder of the SDK's Python and scripts (`max`, `mblack`). A carried
    /// tree has none: its scripts name the interpreter of another machine.
    pub fn scripts(&self) -> Option<&Path> {
        self.python
            .as_deref()
            .filter(|_| !self.is_portable)?
            .parent()
    }

    /// The version of MAX that is installed, if it is not `pinned`.
    pub fn other_max(&self, pinned: &Version) -> Option<String> {
        if self.site.join(format!("max-{pinned}.dist-info")).is_dir() {
            return None;
        }
        // The folder is listed only where the one name that is looked for is not there.
        self.version("max")
    }

    /// The version of a Python package of the SDK, `max` or `mojo`, where it can be told.
    pub fn version(&self, package: &str) -> Option<String> {
        self.site.read_dir().ok()?.flatten().find_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(package)?.strip_prefix('-')?;
            Some(version.strip_suffix(".dist-info")?.to_owned())
        })
    }
}

/// The places that one search looks at.
struct Search<'a> {
    workspace: &'a Workspace,
    ambient: &'a Ambient,
    pythons: Vec<PythonVersion>,
}

impl<'a> Search<'a> {
    fn new(workspace: &'a Workspace, ambient: &'a Ambient) -> Self {
        Self {
            workspace,
            ambient,
            pythons: workspace.config.sdk.pythons(),
        }
    }

    fn named(&self, path: &Path, source: SdkSource, name: &str) -> Result<Sdk, Error> {
        self.at(path, source).ok_or_else(|| Error::NotSdk {
            name: name.to_owned(),
            path: path.to_owned(),
        })
    }

    fn inside(&self) -> Option<Sdk> {
        let venv = self.at(&self.workspace.venv_dir(), SdkSource::Workspace);
        venv.or_else(|| match self.workspace.layout {
            Layout::Standalone => None,
            Layout::Modular => {
                let pixi = self.workspace.root.join(".pixi/envs/default");
                self.at(&pixi, SdkSource::Workspace)
            }
        })
    }

    fn active(&self) -> Option<Sdk> {
        for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
            if let Some(path) = self.ambient.get_nonempty(variable).map(Path::new)
                && path.is_absolute()
                && let Some(sdk) = self.at(path, SdkSource::Active(variable))
            {
                return Some(sdk);
            }
        }
        // pixi sets CONDA_PREFIX too, but not in every kind of shell.
        let project = self.ambient.get_nonempty("PIXI_PROJECT_ROOT")?;
        let name = self.ambient.get_nonempty("PIXI_ENVIRONMENT_NAME");
        let path = Path::new(project)
            .join(".pixi/envs")
            .join(name.unwrap_or("default".as_ref()));
        self.at(&path, SdkSource::Active("PIXI_PROJECT_ROOT"))
    }

    fn on_path(&self) -> Option<Sdk> {
        for folder in self.path_folders() {
            let mojo = folder.join("mojo");
            if !mojo.is_file() {
                continue;
            }
            // A link (`~/.local/bin/mojo`) stands for the environment it points into.
            let real = mojo.canonicalize().unwrap_or_else(|_| mojo.clone());
            let around = [folder.parent(), real.parent().and_then(Path::parent)];
            for environment in around.into_iter().flatten() {
                if let Some(sdk) = self.at(environment, SdkSource::Path) {
                    return Some(sdk);
                }
            }
        }
        None
    }

    /// The SDK at `folder`, whichever of the known layouts it has.
    fn at(&self, folder: &Path, source: SdkSource) -> Option<Sdk> {
        // `site-packages` of a virtual environment, or a carried tree.
        if folder.join("modular/bin/mojo").is_file() {
            return Some(self.wheel(folder, source));
        }
        // The `modular` folder itself.
        if folder.ends_with("modular")
            && folder.join("bin/mojo").is_file()
            && let Some(site) = folder.parent()
        {
            return Some(self.wheel(site, source));
        }
        // A virtual environment.
        for version in &self.pythons {
            for packages in PACKAGES {
                let site = folder.join(format!("lib/python{version}/{packages}"));
                if site.join("modular/bin/mojo").is_file() {
                    return Some(self.wheel(&site, source));
                }
            }
        }
        self.conda(folder, source)
    }

    /// Wheels: the packages in `site`, the SDK in `site/modular`.
    fn wheel(&self, site: &Path, source: SdkSource) -> Sdk {
        let in_environment = is_packages(site)
            .then(|| site.ancestors().nth(3))
            .flatten()
            .and_then(interpreter);
        let is_portable = in_environment.is_none();
        let python_version = environment_version(site).or_else(|| tree_version(site));
        Sdk {
            modular: site.join("modular"),
            site: site.to_path_buf(),
            python: in_environment.or_else(|| self.matching_python(python_version?)),
            python_version,
            is_portable,
            source,
        }
    }

    /// conda and pixi: the prefix itself has `bin/mojo` and `lib/mojo`.
    fn conda(&self, prefix: &Path, source: SdkSource) -> Option<Sdk> {
        let mojo = prefix.join("bin/mojo");
        if !prefix.join("lib/mojo").is_dir() || !mojo.is_file() || is_python_script(&mojo) {
            return None;
        }
        let found = self.pythons.iter().find_map(|&version| {
            let site = prefix.join(format!("lib/python{version}/site-packages"));
            site.is_dir().then_some((site, version))
        });
        let (site, python_version) = match found {
            Some((site, version)) => (site, Some(version)),
            None => (prefix.join("lib"), None),
        };
        Some(Sdk {
            modular: prefix.to_path_buf(),
            site,
            python: interpreter(prefix),
            python_version,
            is_portable: false,
            source,
        })
    }

    /// An interpreter of `version` on `PATH`, under any of its names.
    fn matching_python(&self, version: PythonVersion) -> Option<PathBuf> {
        let names = [
            format!("python{version}"),
            "python3".into(),
            "python".into(),
        ];
        for name in &names {
            for folder in self.path_folders() {
                let python = folder.join(name);
                if python.is_file() && version_of(&python) == Some(version) {
                    return Some(python);
                }
            }
        }
        None
    }

    fn path_folders(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let path = self.ambient.get("PATH").unwrap_or_default().to_owned();
        let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        folders.into_iter().filter(|folder| folder.is_absolute())
    }
}

/// Where an environment keeps its packages; the second is Debian's name for it.
const PACKAGES: [&str; 2] = ["site-packages", "dist-packages"];

fn is_packages(site: &Path) -> bool {
    PACKAGES.iter().any(|name| site.ends_with(name))
}

/// The interpreter of the environment at `prefix`.
fn interpreter(prefix: &Path) -> Option<PathBuf> {
    ["bin/python", "bin/python3"]
        .into_iter()
        .map(|name| prefix.join(name))
        .find(|python| python.is_file())
}

/// The version in `.../lib/python3.11/site-packages`.
fn environment_version(site: &Path) -> Option<PythonVersion> {
    is_packages(site).then_some(())?;
    let folder = site.parent()?.file_name()?.to_str()?;
    folder.strip_prefix("python")?.parse().ok()
}

/// The version that the extension modules of a carried tree were made for:
/// `max/_core.cpython-311-x86_64-linux-gnu.so`.
fn tree_version(site: &Path) -> Option<PythonVersion> {
    for entry in site.join("max").read_dir().ok()?.flatten() {
        let name = entry.file_name();
        let Some((_, tag)) = name.to_str().and_then(|name| name.split_once(".cpython-")) else {
            continue;
        };
        let digits: String = tag.chars().take_while(char::is_ascii_digit).collect();
        if let Some(minor) = digits
            .strip_prefix('3')
            .and_then(|minor| minor.parse().ok())
        {
            return Some(PythonVersion::new(3, minor));
        }
    }
    None
}

/// The version of an interpreter, from its real name or its library beside it.
///
/// A script is none: a version manager's `python3.11` may have no 3.11 to start.
pub(crate) fn version_of(python: &Path) -> Option<PythonVersion> {
    let real = python.canonicalize().ok()?;
    if beginning(&real).starts_with(b"#!") {
        return None;
    }
    let named = |path: &Path| {
        path.file_name()?
            .to_str()?
            .strip_prefix("python")?
            .parse()
            .ok()
    };
    named(&real).or_else(|| {
        let lib = real.parent()?.parent()?.join("lib");
        (10..=14)
            .map(|minor| PythonVersion::new(3, minor))
            .find(|version| lib.join(format!("python{version}/os.py")).is_file())
    })
}

/// Whether `file` is a script that Python runs, as an environment's `bin/mojo` is.
///
/// Long interpreter paths make installers write `#!/bin/sh` and call Python in
/// the second line, so the beginning of the file is looked at, not its first line.
fn is_python_script(file: &Path) -> bool {
    let start = beginning(file);
    start.starts_with(b"#!") && start.windows(6).any(|word| word == b"python")
}

fn beginning(file: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    if let Ok(file) = File::open(file) {
        // What cannot be read is told apart by nothing, so an error is an empty file.
        let _ = file.take(512).read_to_end(&mut start);
    }
    start
}

#[cfg(test)]
mod tests;
