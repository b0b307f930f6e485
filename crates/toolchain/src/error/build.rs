use std::path::PathBuf;

use mxfp4_process::Outcome;

use crate::bazelw::BazelwProblem;

/// Why the compiler or Bazel made nothing.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The compiler refused.
    #[error("{} could not be compiled, see above", refused(.0))]
    Refused(Vec<Refused>),
    /// The compiler refused a module that a Python package of the SDK imports.
    #[error("{} could not be compiled, see above", .0.display())]
    Module(PathBuf),
    /// Bazel's wrapper cannot be started.
    #[error(transparent)]
    Bazelw(#[from] BazelwProblem),
    /// Bazel refused.
    #[error("`bazelw build` failed ({0}), see above")]
    Bazel(Outcome),
    /// A target made something else.
    #[error("`bazelw build` succeeded, but {0} made no kernel package (a .mojoc or .mojopkg file)")]
    NoPackage(String),
    /// A package was made, and not brought here.
    #[error("`bazelw build` succeeded, but {} of {label} is not on this machine", path.display())]
    NotHere {
        /// What it was made for.
        label: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// A path that cannot be written down.
    #[error("a path among {0:?} is not UTF-8")]
    NotUtf8(Vec<PathBuf>),
}

/// What the compiler made nothing of.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The target.
    pub name: String,
    /// How the compiler ended, where that is not how it refuses.
    pub outcome: Option<Outcome>,
}

fn refused(all: &[Refused]) -> String {
    let all: Vec<String> = all
        .iter()
        .map(|Refused { name, outcome }| match outcome {
            Some(outcome) => format!("{name} ({outcome})"),
            None => name.clone(),
        })
        .collect();
    all.join(", ")
}

impl BuildError {
    /// What to do about it, where what was printed before does not say it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused(_) | Self::Module(_) | Self::Bazel(_) => return None,
            Self::Bazelw(problem) => problem.hint(),
            Self::NoPackage(_) => {
                "name a target that makes one, with `bazel.kernel-api` or `bazel.targets` in mxfp4.toml".into()
            }
            Self::NotHere { .. } => "build without --remote_download_outputs=minimal".into(),
            Self::NotUtf8(_) => "rename its folder".into(),
        })
    }
}
