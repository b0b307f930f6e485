//! For tests, of other crates too: the published vocabulary, where this machine has it.

use std::sync::{Arc, OnceLock};

use crate::Vocabulary;

/// The published vocabulary, loaded once a process, or why there is none here.
///
/// It is `$MXFP4_PUBLISHED/tokenizer.json`.
pub fn published_vocabulary() -> Result<Arc<Vocabulary>, String> {
    static LOADED: OnceLock<Result<Arc<Vocabulary>, String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            let folder = std::env::var_os("MXFP4_PUBLISHED").ok_or("MXFP4_PUBLISHED is not set")?;
            let path = std::path::Path::new(&folder).join("tokenizer.json");
            Vocabulary::from_file(&path)
                .map(Arc::new)
                .map_err(|error| error.to_string())
        })
        .clone()
}
