//! Whether a value can be of two schemas.

use serde_json::Value;

use super::error::Problem;
use super::keywords::Keywords;
use super::lower::{Lower, Result};

impl Lower<'_> {
    /// Refuses alternatives of which a value may be two, which no grammar can forbid.
    pub(super) fn check_disjoint(&mut self, branches: &[(String, Keywords)]) -> Result<()> {
        // What is referred to says what it is of.
        let mut known = Vec::new();
        for (place, branch) in branches {
            let whole = Value::Object(branch.clone());
            known.push(self.within(place, |lower| lower.flatten(&whole, false))?);
        }
        for (at, one) in known.iter().enumerate() {
            for other in &known[..at] {
                self.limits.schema().map_err(|problem| self.fail(problem))?;
                if !self.are_disjoint(one, other)? {
                    return Err(self.fail_at("oneOf", Problem::Overlap));
                }
            }
        }
        Ok(())
    }

    fn are_disjoint(&mut self, one: &Keywords, other: &Keywords) -> Result<bool> {
        if let (Some(one), Some(other)) = (listed(one), listed(other)) {
            return Ok(!one.iter().any(|value| has(other, value)));
        }
        if kinds(one).iter().all(|kind| !kinds(other).contains(kind)) {
            return Ok(true);
        }
        if kinds(one) != ["object"] || kinds(other) != ["object"] {
            return Ok(false);
        }
        Ok(lacks(one, other) || lacks(other, one) || self.are_told_apart(one, other)?)
    }

    /// Whether a property that both require has other values in each.
    fn are_told_apart(&mut self, one: &Keywords, other: &Keywords) -> Result<bool> {
        for name in required(one).filter(|name| required(other).any(|each| each == *name)) {
            let property = |keywords: &Keywords| keywords.get("properties")?.get(name).cloned();
            let (Some(one), Some(other)) = (property(one), property(other)) else {
                continue;
            };
            let (one, other) = (self.flatten(&one, false)?, self.flatten(&other, false)?);
            if let (Some(one), Some(other)) = (listed(&one), listed(&other))
                && !one.iter().any(|value| has(other, value))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether one requires a property that the other forbids.
fn lacks(one: &Keywords, other: &Keywords) -> bool {
    let open = ["patternProperties", "anyOf", "oneOf"];
    let closed = other.get("additionalProperties") == Some(&Value::Bool(false));
    if !closed || open.iter().any(|keyword| other.contains_key(*keyword)) {
        return false;
    }
    required(one).any(|name| {
        let property = other.get("properties").and_then(|named| named.get(name));
        property.is_none_or(|schema| *schema == Value::Bool(false))
    })
}

fn required(keywords: &Keywords) -> impl Iterator<Item = &str> {
    let names = keywords.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

fn listed(keywords: &Keywords) -> Option<&Vec<Value>> {
    keywords.get("enum")?.as_array()
}

/// Whether a list has a value. 1 and 1.0 are one.
fn has(list: &[Value], value: &Value) -> bool {
    list.iter()
        .any(|each| match (each.as_f64(), value.as_f64()) {
            (Some(one), Some(other)) => one == other,
            _ => each == value,
        })
}

/// The kinds of JSON that a value may be of, at most.
fn kinds(keywords: &Keywords) -> Vec<&str> {
    const ALL: [&str; 6] = ["array", "boolean", "null", "number", "object", "string"];
    let kind = |name: &str| match name {
        "integer" => "number",
        name => ALL.into_iter().find(|kind| *kind == name).unwrap_or("null"),
    };
    let of_value = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let mut kinds: Vec<&str> = match (listed(keywords), keywords.get("type")) {
        (Some(values), _) => values.iter().map(of_value).collect(),
        (None, Some(Value::String(name))) => vec![kind(name)],
        (None, Some(Value::Array(names))) => {
            names.iter().filter_map(Value::as_str).map(kind).collect()
        }
        _ => ALL.to_vec(),
    };
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}
