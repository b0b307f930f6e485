//! For tests, of other crates too: the published vocabulary, where this machine has it.

mod ranks;
mod wheel;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use ranks::{ranks_of, tokenizer_of};
pub use wheel::ranks_in_wheel;

use crate::Vocabulary;

/// The folder of the published files, which `MXFP4_PUBLISHED` names.
pub fn published() -> Option<PathBuf> {
    std::env::var_os("MXFP4_PUBLISHED").map(PathBuf::from)
}

/// The published vocabulary, loaded once a process, or why this machine has none.
///
/// It is `tokenizer.json` of [`published`], else made from the Python wheel `oss-harmony`.
pub fn published_vocabulary() -> Result<Arc<Vocabulary>, String> {
    static LOADED: OnceLock<Result<Arc<Vocabulary>, String>> = OnceLock::new();
    LOADED.get_or_init(|| load().map(Arc::new)).clone()
}

fn load() -> Result<Vocabulary, String> {
    match published() {
        Some(folder) => {
            Vocabulary::from_file(&folder.join("tokenizer.json")).map_err(|error| error.to_string())
        }
        None => vocabulary_of_wheel()
            .map_err(|reason| format!("MXFP4_PUBLISHED is not set, and {reason}")),
    }
}

/// The vocabulary of the Python wheel `oss-harmony`, or why there is none.
pub fn vocabulary_of_wheel() -> Result<Vocabulary, String> {
    let tokenizer = tokenizer_of(&ranks_in_wheel(&sdk())?)?;
    Vocabulary::from_tokenizer(tokenizer).map_err(|error| error.to_string())
}

/// The environment that Python's packages are in: `MXFP4_SDK`, else the workspace's `.venv`.
fn sdk() -> PathBuf {
    std::env::var_os("MXFP4_SDK").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv"),
        PathBuf::from,
    )
}
