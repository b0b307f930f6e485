use std::path::PathBuf;

/// What the workspace's files ask for and is not there, or does not agree.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that is no TOML, or says something else than it should.
    #[error("{}: {why}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the place.
        why: String,
    },
    /// A file that the SDK is made from.
    #[error("{} is missing: the SDK is made from it", .0.display())]
    NoInput(PathBuf),
    /// mxfp4.toml and the lock file name two versions.
    #[error("mxfp4.toml asks for {package} {pinned}, {} holds {locked}", lock_file.display())]
    Locked {
        /// Of what.
        package: &'static str,
        /// What mxfp4.toml asks for.
        pinned: String,
        /// What the lock file holds.
        locked: String,
        /// The lock file.
        lock_file: PathBuf,
    },
    /// The lock file has no version at all.
    #[error("{} does not hold {package}, of which mxfp4.toml asks for {pinned}", lock_file.display())]
    NotLocked {
        /// Of what.
        package: &'static str,
        /// What mxfp4.toml asks for.
        pinned: String,
        /// The lock file.
        lock_file: PathBuf,
    },
    /// pyproject.toml names another version than the other two.
    #[error("python/pyproject.toml asks for {package} {asked}, mxfp4.toml and {} have {pinned}", lock_file.display())]
    Project {
        /// Of what.
        package: &'static str,
        /// What pyproject.toml asks for.
        asked: String,
        /// What the others have.
        pinned: String,
        /// The lock file.
        lock_file: PathBuf,
    },
    /// There is no pin to move.
    #[error("{} does not depend on {package}: there is no pin to move", path.display())]
    NoPin {
        /// Of what.
        package: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// No program of the workspace is compiled for an accelerator.
    #[error(
        "nothing here is compiled for {0}: a kernel package is compiled by what loads it, and `tests.mojo` of mxfp4.toml \
         has no compile_*.mojo"
    )]
    NothingFor(String),
    /// A program whose source is not there.
    #[error("{} is not there", .0.display())]
    NoSource(PathBuf),
    /// A kernel package without its first file.
    #[error("kernel package `{name}` is not there: {} has no __init__.mojo", folder.display())]
    NoKernel {
        /// The package.
        name: String,
        /// Where it should be.
        folder: PathBuf,
    },
    /// An import path that is no folder.
    #[error("`includes` of kernel package `{name}` names {}, which is no folder", folder.display())]
    NoInclude {
        /// The package.
        name: String,
        /// What it names.
        folder: PathBuf,
    },
    /// Something among the sources that cannot be read to its end.
    #[error("{} is neither a file nor a folder, and reading it might never end", .0.display())]
    Special(PathBuf),
    /// A checkout with none of the targets that are known.
    #[error("nothing to build in {}: it has the BUILD file of none of {}", root.display(), candidates.join(", "))]
    NothingToBuild {
        /// The checkout.
        root: PathBuf,
        /// The targets.
        candidates: Vec<String>,
    },
}

impl ConfigError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Toml { .. } => return None,
            Self::NoInput(_) => "put it back, or name an SDK with MXFP4_SDK".into(),
            Self::Locked {
                package, pinned, ..
            } => format!(
                "change `sdk.{package}`, or python/pyproject.toml followed by `uv lock`; or let `mxfp4 setup --upgrade \
                 --{package} {pinned}` change all three"
            ),
            Self::NotLocked { package, .. } => {
                format!("add `{package}` to python/pyproject.toml and run `uv lock`")
            }
            Self::Project { package, asked, .. } => format!(
                "run `uv lock` and change `sdk.{package}`, or change python/pyproject.toml; or let `mxfp4 setup \
                 --upgrade --{package} {asked}` change all three"
            ),
            Self::NoPin { package, .. } => {
                format!("add `{package}` to its `dependencies`")
            }
            Self::NothingFor(_) => "add one, or leave --target-accelerator away".into(),
            Self::NoSource(_) => "it is part of this project's own repository".into(),
            Self::NoKernel { .. } | Self::NoInclude { .. } => {
                "see [[kernels]] in mxfp4.toml".into()
            }
            Self::Special(_) => "remove it, or give it another name".into(),
            Self::NothingToBuild { .. } => {
                "name what it has with `bazel.targets` in mxfp4.toml".into()
            }
        })
    }
}
