//! JSON schemas, in the words that xgrammar enforces.
//!
//! xgrammar 0.2 takes most keywords, but not all of them beside each other, and lets some pass
//! that it does not enforce. So a schema is written anew: what says nothing of the value is
//! dropped, `allOf` and keywords beside `$ref` and `anyOf` are merged, several types become
//! `anyOf`, `oneOf` becomes `anyOf` where no value can be of two of its schemas. What is
//! written anew may allow less than the schema, never more. What cannot be said so is refused,
//! with its place and its keyword.

mod disjoint;
mod enumeration;
mod error;
mod finite;
mod flatten;
mod formats;
mod keywords;
mod limits;
mod lower;
mod merge;
mod number;
mod object;
mod pattern;
mod reference;
mod scalar;

use serde_json::{Map, Value};

pub use error::{Problem, SchemaError};
pub use limits::Limits;

/// A JSON schema that is enforced as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema(Value);

/// Refuses a regular expression that xgrammar cannot enforce.
pub(super) fn check_pattern(pattern: &str) -> Result<(), Problem> {
    pattern::check(pattern)
}

impl Schema {
    /// Reads a client's schema. The limits are those of a whole request: what this schema takes
    /// is gone for the next.
    pub fn read(schema: &Value, limits: &mut Limits) -> Result<Self, SchemaError> {
        lower::lower(schema, limits).map(Self)
    }

    /// Any object.
    pub fn any_object() -> Self {
        Self(serde_json::json!({"type": "object"}))
    }

    /// The object that has nothing.
    pub fn empty_object() -> Self {
        Self(serde_json::json!({"type": "object", "properties": {}, "additionalProperties": false}))
    }

    /// As it is written anew.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// What of it is an object, as arguments of functions are. [`None`] where no object is of it.
    pub fn object(self) -> Option<Self> {
        if self.0.as_object().is_some_and(Map::is_empty) {
            return Some(Self::any_object());
        }
        lower::only_objects(self.0).map(Self)
    }
}

#[cfg(test)]
mod tests;
