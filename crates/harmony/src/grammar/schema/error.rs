//! What is wrong with a schema.

use std::fmt;

/// A schema that cannot be enforced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct SchemaError {
    /// The place in the schema, as `.properties.a.uniqueItems`; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong at a place of a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A keyword that no grammar can enforce.
    #[error(
        "`{0}` cannot be enforced; leave it out, and check the answer for it, or say the same in other keywords"
    )]
    Keyword(String),
    /// Two keywords of which only one can be enforced.
    #[error("`{keyword}` cannot be enforced beside {other}; leave one of them out")]
    Beside {
        /// The one.
        keyword: String,
        /// The other.
        other: String,
    },
    /// A value that the keyword does not take.
    #[error("must be {0}")]
    NotA(&'static str),
    /// A type that JSON does not have.
    #[error("{0:?} is no type of JSON")]
    Type(String),
    /// A format that is not known.
    #[error("the format {0:?} cannot be enforced; leave it out, or send a `pattern`. These can: {known}", known = Listed(super::formats::FORMATS))]
    Format(String),
    /// What a pattern has that no grammar can enforce.
    #[error("a pattern with {0} cannot be enforced; say the same without it")]
    Pattern(&'static str),
    /// No value can be of the schema.
    #[error("no value is of this schema: {0}")]
    Empty(&'static str),
    /// A value of the schema would have no end.
    #[error("a value of this schema would have no end: what it refers to requires itself")]
    Endless,
    /// A reference to nothing that is there.
    #[error("the schema has no {0:?}; a reference has the form `#/$defs/NAME`")]
    Missing(String),
    /// A reference to somewhere else.
    #[error(
        "{0:?} is not in this schema, and nothing is fetched; put what it refers to into `$defs`"
    )]
    Remote(String),
    /// References that lead back to themselves.
    #[error("its references lead back to itself and to no schema")]
    Loop,
    /// Alternatives of which a value may be several.
    #[error(
        "a value may be of two of these schemas, which cannot be forbidden; send `anyOf`, or give each a property that is required and has another `const`"
    )]
    Overlap,
    /// Too deep.
    #[error("schemas stand in each other more than {0} deep")]
    Deep(usize),
    /// Too much of something.
    #[error("the request's schemas have more than {most} {what}, with what they refer to")]
    Many {
        /// How many there may be.
        most: usize,
        /// Of what.
        what: &'static str,
    },
}

struct Listed(&'static [&'static str]);

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}
