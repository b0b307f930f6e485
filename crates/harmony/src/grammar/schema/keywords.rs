//! Which keywords say something of a value.

use serde_json::{Map, Value};

/// A schema that is an object, by its keywords.
pub(super) type Keywords = Map<String, Value>;

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is enforced, or refused by what it says.
    Enforced,
    /// It cannot be enforced.
    Refused,
    /// It says nothing of the value: an annotation, or a word that is no keyword.
    Nothing,
}

const ENFORCED: &[&str] = &[
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// The last three are of the third draft.
const REFUSED: &[&str] = &[
    "$dynamicRef",
    "$recursiveRef",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "multipleOf",
    "not",
    "then",
    "disallow",
    "divisibleBy",
    "extends",
];

pub(super) fn meaning(keyword: &str, value: &Value, siblings: &Keywords) -> Meaning {
    match keyword {
        "uniqueItems" if *value != Value::Bool(false) => Meaning::Refused,
        // One without the other says nothing.
        "then" | "else" if !siblings.contains_key("if") => Meaning::Nothing,
        "if" if !siblings.contains_key("then") && !siblings.contains_key("else") => {
            Meaning::Nothing
        }
        "minContains" | "maxContains" if !siblings.contains_key("contains") => Meaning::Nothing,
        // Whatever more there is may be anything: so it is without them.
        "unevaluatedItems" | "unevaluatedProperties" if *value == Value::Bool(true) => {
            Meaning::Nothing
        }
        _ if ENFORCED.contains(&keyword) => Meaning::Enforced,
        _ if REFUSED.contains(&keyword) => Meaning::Refused,
        _ => Meaning::Nothing,
    }
}
