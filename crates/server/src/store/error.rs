//! Why a store does not work.

use std::io;
use std::path::PathBuf;

/// Why a store does not work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made or opened.
    #[error("cannot open the store {}; name a file in a folder that this user may write to", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is no store of this version of mxfp4; name another file, or delete this one", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The database refuses its work.
    #[error("the store of responses failed")]
    Database(#[from] rusqlite::Error),
}
