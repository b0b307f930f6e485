//! Why an input cannot be held to its form.

/// Why an input cannot be held to its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The regular expression cannot be read.
    #[error("the regular expression cannot be read: {0}")]
    Regex(String),
    /// It has what no grammar derives.
    #[error("{0} cannot be enforced in a regular expression; leave it out")]
    Look(&'static str),
    /// Its repetitions are too many.
    #[error("with its repetitions written out it has more than {most} characters; make it simpler")]
    Repeats {
        /// How many it may have.
        most: u64,
    },
    /// The grammar cannot be read.
    #[error("line {line} of the grammar: {problem}")]
    Lark {
        /// From 1 on.
        line: usize,
        /// What is wrong, or cannot be enforced.
        problem: String,
    },
    /// The grammar of the JSON would be too long.
    #[error("it is too large: as a grammar of JSON it has more than {most} bytes; make it simpler")]
    Large {
        /// How many it may have.
        most: usize,
    },
}

/// The most bytes of a grammar.
pub(super) const MOST: usize = 256 << 10;
