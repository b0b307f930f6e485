//! What a request asks of an answer's form.

use super::{Problem, Schema};

/// What an answer is held to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grammar {
    /// The answer's text; none where there must be a call.
    pub text: Option<Text>,
    /// The calls that may come instead of a text, or have to.
    pub calls: Option<Calls>,
    /// What the prompt ends in.
    pub opened: Opened,
}

/// The form of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// Any.
    Free,
    /// JSON of a schema.
    Json(Schema),
    /// What a regular expression matches as a whole, in JavaScript's syntax.
    Regex(String),
    /// What a grammar in xgrammar's EBNF derives from `root`.
    Ebnf(String),
    /// One of these.
    Choice(Vec<String>),
}

/// Calls, at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Calls {
    /// Functions, without `functions.`, and their arguments.
    pub functions: Vec<(String, Arguments)>,
    /// Whether a call may follow a call.
    pub several: bool,
}

/// What the arguments of a call are.
#[derive(Clone, Debug, PartialEq)]
pub enum Arguments {
    /// JSON of a schema.
    Json(Schema),
    /// What a grammar in xgrammar's EBNF derives from `root`.
    Ebnf(String),
}

impl From<Schema> for Arguments {
    fn from(schema: Schema) -> Self {
        Self::Json(schema)
    }
}

/// The message that a prompt ends in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opened {
    /// None: the prompt ends with `<|start|>assistant`.
    #[default]
    Nothing,
    /// Reasoning, or words before a call.
    Words,
}

impl Text {
    /// What a regular expression matches, or what it has that cannot be enforced.
    pub fn regex(pattern: String) -> Result<Self, Problem> {
        super::schema::check_pattern(&pattern)?;
        Ok(Self::Regex(pattern))
    }
}

impl Grammar {
    /// A text of this form.
    pub fn answer(text: Text) -> Self {
        Self {
            text: Some(text),
            ..Self::default()
        }
    }

    /// At least one call.
    pub fn call(calls: Calls) -> Self {
        Self {
            calls: Some(calls),
            ..Self::default()
        }
    }
}
