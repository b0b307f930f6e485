//! Values that are listed.

use serde_json::{Value, json};

use super::error::Problem;
use super::keywords::Keywords;
use super::lower::{Lower, Result};

/// Up to here numbers with a point are written as integers, and exactly.
const LARGEST: f64 = 9_007_199_254_740_992.0;

impl Lower<'_> {
    /// The values of a list that are of the other keywords too.
    pub(super) fn enumeration(&mut self, values: Value, keywords: &Keywords) -> Result<Value> {
        let values = self.list("enum", values)?;
        self.limits
            .alternatives(values.len())
            .map_err(|problem| self.fail_at("enum", problem))?;
        let types = match keywords.contains_key("type") {
            true => Some(self.types_of(keywords)?),
            false => None,
        };
        let mut kept: Vec<Value> = Vec::new();
        for value in values {
            let is_of_type = types
                .as_ref()
                .is_none_or(|types| types.iter().any(|name| is_a(&value, name)));
            if is_of_type && self.is_within(&value, keywords)? {
                let value = self.written(value)?;
                if !kept.contains(&value) {
                    kept.push(value);
                }
            }
        }
        if kept.is_empty() {
            let problem = Problem::Empty("no value of the list is left");
            return Err(self.fail_at("enum", problem));
        }
        Ok(json!({"enum": kept}))
    }

    /// Whether a value keeps to the bounds that stand beside the list.
    fn is_within(&self, value: &Value, keywords: &Keywords) -> Result<bool> {
        for (keyword, bound) in keywords {
            let number = match (keyword.as_str(), value) {
                ("minLength" | "maxLength", Value::String(text)) => text.chars().count() as f64,
                ("minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum", value)
                    if value.is_number() =>
                {
                    value.as_f64().unwrap_or(f64::NAN)
                }
                ("pattern" | "format", Value::String(_)) => {
                    return Err(self.beside_enum(keyword));
                }
                (_, Value::Object(_)) if super::lower::is_about("object", keyword) => {
                    return Err(self.beside_enum(keyword));
                }
                (_, Value::Array(_)) if super::lower::is_about("array", keyword) => {
                    return Err(self.beside_enum(keyword));
                }
                _ => continue,
            };
            let Some(bound) = bound.as_f64() else {
                return Err(self.fail_at(keyword, Problem::NotA("a number")));
            };
            let within = match keyword.as_str() {
                "minLength" | "minimum" => number >= bound,
                "maxLength" | "maximum" => number <= bound,
                "exclusiveMinimum" => number > bound,
                _ => number < bound,
            };
            if !within {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn beside_enum(&self, keyword: &str) -> super::SchemaError {
        let other = "`enum`".to_owned();
        let problem = Problem::Beside {
            keyword: keyword.to_owned(),
            other,
        };
        self.fail_at(keyword, problem)
    }

    /// A value as it is written in an answer. Of large numbers xgrammar writes another.
    fn written(&self, value: Value) -> Result<Value> {
        let too_large = || {
            let problem = Problem::NotA("numbers of at most 2^53, or integers of 64 bits");
            self.fail_at("enum", problem)
        };
        match value {
            Value::Number(number) if number.is_f64() => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                if number.fract() != 0.0 {
                    return Ok(number.into());
                }
                if number.abs() > LARGEST {
                    return Err(too_large());
                }
                Ok((number as i64).into())
            }
            Value::Number(number) if !number.is_i64() => Err(too_large()),
            Value::Array(values) => values
                .into_iter()
                .map(|value| self.written(value))
                .collect(),
            Value::Object(members) => members
                .into_iter()
                .map(|(name, value)| Ok((name, self.written(value)?)))
                .collect(),
            value => Ok(value),
        }
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}
