//! Moves the versions of MAX and Mojo that a workspace is pinned to.

use std::fs;
use std::path::{Path, PathBuf};

use mxfp4_env::config::{self, Version};
use mxfp4_env::{Config, Context, Workspace};
use toml_edit::{DocumentMut, Item, Table};

use crate::lock_file::LockFile;
use crate::pyproject::{self, Pyproject};
use crate::run::run;
use crate::setup::{self, State};
use crate::uv_command::uv_command;
use crate::{ConfigError, Error, SdkError, Step, files, lock, uv};

/// The packages that are pinned.
const PACKAGES: [&str; 2] = ["max", "mojo"];

/// The versions to move to. Where none is named, uv takes the newest there is; where one is, the other follows it.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// That of MAX.
    pub max: Option<Version>,
    /// That of Mojo.
    pub mojo: Option<Version>,
}

impl Versions {
    fn of(&self, package: &str) -> Option<&Version> {
        match package {
            "max" => self.max.as_ref(),
            _ => self.mojo.as_ref(),
        }
    }

    fn is_empty(&self) -> bool {
        self.max.is_none() && self.mojo.is_none()
    }
}

/// A pin that was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The package.
    pub package: &'static str,
    /// What it was pinned to.
    pub from: String,
    /// What it is pinned to now.
    pub to: String,
}

/// Pins that were moved, with what is needed to move them back.
#[derive(Debug)]
pub struct Upgrade {
    /// The workspace with its new settings.
    pub workspace: Workspace,
    /// What changed; nothing where the newest versions were there already.
    pub changes: Vec<Change>,
    old: Vec<(PathBuf, Vec<u8>)>,
}

impl Upgrade {
    /// Puts the old files back.
    pub fn undo(self) -> Result<(), Error> {
        restore(&self.old)
    }
}

/// Moves the pins in `mxfp4.toml`, `python/pyproject.toml` and `python/uv.lock` to `wanted`. When that fails, nothing
/// has changed.
pub fn upgrade(context: &Context, wanted: &Versions) -> Result<Upgrade, Error> {
    let workspace = &context.workspace;
    if setup::state(workspace)? == State::Foreign {
        return Err(SdkError::Foreign(workspace.venv_dir()).into());
    }
    let state_dir = workspace.state_dir();
    let _lock = lock::take(
        &state_dir.join("setup.lock"),
        "`mxfp4 setup` in this workspace",
    )?;
    let aside = state_dir.join("upgrade");
    files::remove_leftovers(&aside)?;
    let aside = files::partial(&aside);
    let made = resolve(context, wanted, &aside);
    let removed = files::remove(&aside);
    let Resolved { files, changes } = made?;
    removed?;

    let mut old = Vec::new();
    if !changes.is_empty() {
        for (path, content) in files {
            // A link stays one: what it leads to is what changes.
            let path = fs::canonicalize(&path).map_err(Error::file("read", &path))?;
            let before = fs::read(&path).map_err(Error::file("read", &path))?;
            let content = mxfp4_fs::written_like(&content, &before);
            old.push((path.clone(), before));
            if let Err(error) = files::write(&path, &content) {
                restore(&old)?;
                return Err(error);
            }
        }
    }
    let config = Config::load(&workspace.root, workspace.layout);
    let config = config.or_else(|error| restore(&old).and(Err(error.into())))?;
    Ok(Upgrade {
        workspace: Workspace {
            config,
            ..workspace.clone()
        },
        changes,
        old,
    })
}

fn restore(old: &[(PathBuf, Vec<u8>)]) -> Result<(), Error> {
    old.iter()
        .try_for_each(|(path, content)| files::write(path, content))
}

/// The new content of the three files.
struct Resolved {
    files: Vec<(PathBuf, String)>,
    changes: Vec<Change>,
}

/// Has uv find the versions, on copies in the folder `aside`.
fn resolve(context: &Context, wanted: &Versions, aside: &Path) -> Result<Resolved, Error> {
    let workspace = &context.workspace;
    let project = setup::project(workspace);
    let lock_path = project.join("uv.lock");
    let lock_file = LockFile::read(lock_path.clone())?;
    let pyproject_path = project.join("pyproject.toml");
    let mut pyproject = setup::read_pyproject(workspace)?;
    let before = setup::read_pyproject(workspace)?;
    for package in PACKAGES {
        let specifier = match wanted.of(package) {
            Some(version) => format!("=={version}"),
            None if wanted.is_empty() => format!(">={}", pinned(workspace, package)),
            None => String::new(),
        };
        if !pyproject.require(package, &specifier) {
            let path = pyproject_path;
            return Err(ConfigError::NoPin { package, path }.into());
        }
    }

    let (uv, python) = uv::with_python(context, &lock_file)?;
    files::create_dir(aside)?;
    let copy = aside.join("uv.lock");
    fs::copy(&lock_path, &copy).map_err(Error::file("copy", &lock_path))?;
    let lock = |pyproject: &Pyproject, newer: bool| {
        let text = pyproject.to_string();
        files::write(&aside.join("pyproject.toml"), text.as_bytes())?;
        let mut command = uv_command(context, &uv)
            .env_remove("UV_FROZEN")
            .args(["lock", "--project"])
            .args([aside, Path::new("--python"), &python])
            .args(context.is_quiet().then_some("--quiet"));
        for package in PACKAGES.into_iter().filter(|_| newer) {
            command = command.args(["--upgrade-package", package]);
        }
        Ok::<_, Error>(setup::expect(Step::Lock, run(command)?)?)
    };
    lock(&pyproject, true)?;
    let mut settings = Settings::read(workspace)?;
    let mut changes = Vec::new();
    let found = LockFile::read(copy.clone())?;
    for package in PACKAGES {
        let to = found.version(package).ok_or(SdkError::NoVersion(package))?;
        pyproject.require(package, &format!("=={to}"));
        settings.pin(package, to);
        // The three may have disagreed.
        let from = [Some(pinned(workspace, package)), lock_file.version(package)];
        let mut from = from.into_iter().chain([before.pinned(package)]).flatten();
        if let Some(from) = from.find(|from| *from != to) {
            let (from, to) = (from.to_owned(), to.to_owned());
            changes.push(Change { package, from, to });
        }
    }
    // The lock file repeats what pyproject.toml asks for.
    lock(&pyproject, false)?;
    let locked = fs::read_to_string(&copy).map_err(Error::file("read", &copy))?;
    Ok(Resolved {
        files: vec![
            (lock_path, locked),
            (pyproject_path, pyproject.to_string()),
            (settings.path, settings.document.to_string()),
        ],
        changes,
    })
}

fn pinned<'a>(workspace: &'a Workspace, package: &str) -> &'a str {
    let sdk = &workspace.config.sdk;
    match package {
        "max" => sdk.max.as_str(),
        _ => sdk.mojo.as_str(),
    }
}

/// `mxfp4.toml` as it is written.
struct Settings {
    path: PathBuf,
    document: DocumentMut,
}

impl Settings {
    fn read(workspace: &Workspace) -> Result<Self, Error> {
        let path = workspace.root.join(config::FILE);
        let text = mxfp4_fs::read_text(&path).map_err(Error::file("read", &path))?;
        let document = text
            .parse()
            .map_err(|error: toml_edit::TomlError| ConfigError::Toml {
                path: path.clone(),
                why: error.to_string(),
            })?;
        Ok(Self { path, document })
    }

    /// Sets `sdk.PACKAGE`.
    fn pin(&mut self, package: &str, version: &str) {
        let sdk = self
            .document
            .entry("sdk")
            .or_insert_with(|| Item::Table(Table::new()));
        if let Some(value) = sdk.get_mut(package).and_then(Item::as_value_mut) {
            pyproject::set(value, version);
        } else if let Some(table) = sdk.as_table_like_mut() {
            table.insert(package, toml_edit::value(version));
        }
    }
}
