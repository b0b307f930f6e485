//! What can be wrong with keys. No error repeats what a key, or its line, says.

use std::io;
use std::path::PathBuf;

/// The longest key, in characters.
pub(super) const LONGEST: usize = 512;

/// Why keys are not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key of the command line or of the environment.
    #[error("an API key {0}")]
    Key(KeyFault),
    /// The file cannot be read.
    #[error("{}: the API keys cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line of the file is wrong.
    #[error("{}, line {line}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// The file has no key.
    #[error("{} has no API key; write one a line, as NAME KEY", path.display())]
    None {
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with a key, or with its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It has no characters.
    #[error("is empty; give it a value, or leave it out")]
    Empty,
    /// It is too long.
    #[error("has more than {} characters", LONGEST)]
    Long,
    /// It cannot stand in a header.
    #[error(
        "has a space, a comma or a character that is not ASCII; use letters, digits and any of -._~+/="
    )]
    Characters,
    /// It stands in a file and could be guessed, or stands where its name belongs.
    #[error(
        "the key has fewer than 16 characters; a line is NAME KEY, and `openssl rand -hex 32` makes a key"
    )]
    Short,
    /// The line has a name and nothing else.
    #[error("a line has a name and a key, as NAME KEY")]
    Words,
    /// The name is none.
    #[error(
        "the name has other characters than letters, digits and ._- or more than 64; a line is NAME KEY"
    )]
    Name,
    /// What follows the key is no limit.
    #[error(
        "what follows the key is none of requests-per-minute=N, tokens-per-minute=N and parallel-requests=N, \
         each once, with N from 1"
    )]
    Limit,
    /// The key has another name, too.
    #[error("another line has the same key and another name")]
    Twice,
    /// The name has other limits, too.
    #[error("another line gives the same name other limits")]
    Limits,
}
