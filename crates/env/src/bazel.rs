//! Where Bazel put what `mxfp4 build` had it make in a Modular checkout.
//!
//! Bazel alone knows: `bazel-bin` is there for convenience, and may be turned off, have another name, or lead to what was
//! built once in another way. Asking takes a tenth of a second, so the answer to the last build is kept.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Label;

/// What the last build of a Modular checkout made, as Bazel told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BazelOutputs {
    /// The checkout: one that was moved or copied has outputs of its own.
    root: PathBuf,
    /// What was built.
    labels: Vec<String>,
    /// The folder of the outputs: `bazel-bin`, where that leads there.
    pub bin: PathBuf,
    /// The kernel packages, in the order in which they are loaded.
    pub packages: Vec<PathBuf>,
}

impl BazelOutputs {
    /// Those of a build of `labels` in the checkout at `root`.
    pub fn new(root: &Path, labels: &[&Label], bin: PathBuf, packages: Vec<PathBuf>) -> Self {
        Self {
            root: root.to_owned(),
            labels: texts(labels),
            bin,
            packages,
        }
    }

    /// The folder in which they are kept, in a file of their own that goes with them: a prompt sees that without reading.
    /// It is in the workspace's `state` folder.
    pub fn folder(state: &Path) -> PathBuf {
        state.join("bazel-outputs")
    }

    /// Those of the last build, where it built in this place what would be built now, and their file.
    pub(crate) fn kept(root: &Path, state: &Path, labels: &[&Label]) -> Option<(Self, PathBuf)> {
        let entries = std::fs::read_dir(Self::folder(state)).ok()?.flatten();
        // There is one, but while a build replaces it.
        let newest = entries
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "json"))
            .max_by_key(|entry| entry.metadata().and_then(|file| file.modified()).ok())?;
        let file = newest.path();
        let outputs: Self = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
        let is_ours =
            outputs.root == root && outputs.labels == texts(labels) && outputs.bin.is_dir();
        is_ours.then_some((outputs, file))
    }
}

fn texts(labels: &[&Label]) -> Vec<String> {
    labels
        .iter()
        .map(|label| label.as_str().to_owned())
        .collect()
}

/// The target of MAX's own kernels in the checkout at `root`: it moved over time, so the first that has a BUILD file.
pub(crate) fn kernel_api<'a>(root: &Path, candidates: &'a [Label]) -> Option<&'a Label> {
    candidates.iter().find(|label| {
        let package = root.join(label.package());
        ["BUILD.bazel", "BUILD"]
            .iter()
            .any(|name| package.join(name).is_file())
    })
}
