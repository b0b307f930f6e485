//! The parts of xgrammar's structural tags that ours are made of.

use serde::Serialize;
use serde_json::Value;

/// A whole tag.
#[derive(Serialize)]
#[serde(tag = "type", rename = "structural_tag")]
pub(super) struct StructuralTag<'a> {
    pub(super) format: Format<'a>,
}

/// One part of a tag.
#[derive(Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Format<'a> {
    /// A token by its id.
    Token { token: u32 },
    /// Tokens in any number, but none of these.
    AnyTokens { exclude_tokens: &'a [u32] },
    /// A text, in whatever tokens.
    ConstString { value: String },
    /// JSON.
    JsonSchema(JsonSchema<'a>),
    /// A regular expression.
    Regex { pattern: &'a str },
    /// EBNF.
    Grammar { grammar: &'a str },
    /// One after the other.
    Sequence { elements: Vec<Format<'a>> },
    /// One of them.
    Or { elements: Vec<Format<'a>> },
    /// Once, or not at all.
    Optional { content: Box<Format<'a>> },
    /// In any number.
    Star { content: Box<Format<'a>> },
}

/// JSON of a schema.
#[derive(Clone, Serialize)]
pub(super) struct JsonSchema<'a> {
    json_schema: &'a Value,
    /// Fails rather than let pass what the schema forbids.
    reject_unsupported: bool,
    /// Any number of spaces and line breaks between tokens of JSON. Bounded here, each property
    /// of an object would take xgrammar 2 MB for each of them; so the engine ends them.
    any_whitespace: bool,
}

impl<'a> Format<'a> {
    pub(super) fn text(value: impl Into<String>) -> Self {
        Self::ConstString {
            value: value.into(),
        }
    }

    pub(super) fn json(json_schema: &'a Value) -> Self {
        Self::JsonSchema(JsonSchema {
            json_schema,
            reject_unsupported: true,
            any_whitespace: true,
        })
    }

    pub(super) fn optional(self) -> Self {
        Self::Optional {
            content: Box::new(self),
        }
    }

    pub(super) fn star(self) -> Self {
        Self::Star {
            content: Box::new(self),
        }
    }

    pub(super) fn sequence(elements: impl Into<Vec<Format<'a>>>) -> Self {
        Self::Sequence {
            elements: elements.into(),
        }
    }

    /// One alternative alone is that.
    pub(super) fn or(elements: impl Into<Vec<Format<'a>>>) -> Self {
        let mut elements = elements.into();
        match elements.len() {
            1 => elements.remove(0),
            _ => Self::Or { elements },
        }
    }
}
