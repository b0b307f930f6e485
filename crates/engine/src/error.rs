//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// Why a request has no answer, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// As many requests wait as may.
    #[error("the engine's queue is full; send the request again later")]
    QueueFull,
    /// The request is at fault; the text says what of it.
    #[error("{0}")]
    Invalid(String),
    /// The engine is at fault; the text is what it says.
    #[error("the engine failed at this request: {0}")]
    Failed(String),
    /// The engine has ended; the text says how.
    #[error("{0}")]
    Gone(String),
}

/// How the engine ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Gone {
    /// A sentence.
    pub reason: String,
}

/// Why there is no socket to listen at.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The folder cannot be made.
    #[error("cannot make a private folder for the engine's socket in {}", .parent.display())]
    Folder {
        /// The folder that it was to be made in.
        parent: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The socket cannot be made.
    #[error("cannot make the engine's socket {}", .path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine's frames are of another version.
    #[error(
        "the engine speaks version {theirs} of the protocol and this program version {ours}; \
         use the `mxfp4` package of this program's version"
    )]
    Protocol {
        /// The engine's version.
        theirs: u32,
        /// [`crate::PROTOCOL`].
        ours: u32,
    },
    /// The engine ended before it was ready.
    #[error("the engine ended before it was ready")]
    Ended,
    /// What came was no frame that can be read.
    #[error("the engine sent what cannot be read before it was ready: {0}")]
    Frame(String),
    /// The socket failed.
    #[error("the engine's socket failed before it was ready")]
    Socket(#[from] io::Error),
}
