//! Two schemas that both hold, as one.

use serde_json::{Value, json};

use super::error::Problem;
use super::keywords::Keywords;

type Conflict = (String, Problem);

/// Keywords that say what properties may be beside those that are named.
const OTHER_PROPERTIES: [&str; 4] = [
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
];

/// Keywords that depend on each other.
const ITEMS: [&str; 3] = ["items", "prefixItems", "unevaluatedItems"];

/// Adds keywords to others so that what comes out says what both say, or names a keyword that
/// it cannot say.
pub(super) fn merge(base: &mut Keywords, more: Keywords) -> Result<(), Conflict> {
    if base.is_empty() {
        *base = more;
        return Ok(());
    }
    check_properties(base, &more)?;
    check_properties(&more, base)?;
    check_items(base, &more)?;
    for (keyword, value) in more {
        match base.get_mut(&keyword) {
            None => {
                base.insert(keyword, value);
            }
            Some(there) if *there == value => {}
            Some(there) => match both(&keyword, there, value) {
                Some(merged) => *there = merged,
                None => {
                    let other = format!("another `{keyword}`");
                    let beside = Problem::Beside {
                        keyword: keyword.clone(),
                        other,
                    };
                    return Err((keyword, beside));
                }
            },
        }
    }
    Ok(())
}

/// Refuses properties of one schema that the other's keywords for all others are about.
fn check_properties(about: &Keywords, more: &Keywords) -> Result<(), Conflict> {
    let Some(keyword) = OTHER_PROPERTIES
        .iter()
        .find(|keyword| about.get(**keyword).is_some_and(|value| *value != true))
    else {
        return Ok(());
    };
    let known = about.get("properties").and_then(Value::as_object);
    let named = more.get("properties").and_then(Value::as_object);
    let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
    if named.is_some_and(|named| !named.keys().all(is_known)) {
        return Err(beside(keyword, "properties"));
    }
    Ok(())
}

fn check_items(base: &Keywords, more: &Keywords) -> Result<(), Conflict> {
    let says = |keywords: &Keywords| ITEMS.map(|keyword| keywords.get(keyword).cloned());
    let (base, more) = (says(base), says(more));
    let some = |items: &[Option<Value>; 3]| items.iter().any(Option::is_some);
    if some(&base) && some(&more) && base != more {
        // Without a prefix each item is of both.
        let plain = |items: &[Option<Value>; 3]| items[1].is_none() && items[2].is_none();
        if !(plain(&base) && plain(&more)) {
            return Err(beside("prefixItems", "items"));
        }
    }
    Ok(())
}

fn beside(keyword: &str, other: &str) -> Conflict {
    let problem = Problem::Beside {
        keyword: keyword.to_owned(),
        other: format!("the {other} of another schema"),
    };
    (keyword.to_owned(), problem)
}

/// What both values of a keyword say; none where one keyword cannot.
fn both(keyword: &str, one: &Value, other: Value) -> Option<Value> {
    match keyword {
        "minLength" | "minItems" | "minProperties" | "minimum" | "exclusiveMinimum" => {
            let (a, b) = (one.as_f64()?, other.as_f64()?);
            Some(if a >= b { one.clone() } else { other })
        }
        "maxLength" | "maxItems" | "maxProperties" | "maximum" | "exclusiveMaximum" => {
            let (a, b) = (one.as_f64()?, other.as_f64()?);
            Some(if a <= b { one.clone() } else { other })
        }
        "type" => types(one, &other),
        "enum" => {
            let other = other.as_array()?;
            let common = one.as_array()?.iter().filter(|value| other.contains(value));
            Some(common.cloned().collect())
        }
        "required" => {
            let mut names = one.as_array()?.clone();
            for name in other.as_array()? {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
            Some(names.into())
        }
        "properties" => {
            let mut all = one.as_object()?.clone();
            for (name, schema) in other.as_object()? {
                let schema = match all.get(name) {
                    Some(there) if there != schema => json!({"allOf": [there, schema]}),
                    _ => schema.clone(),
                };
                all.insert(name.clone(), schema);
            }
            Some(all.into())
        }
        "items" | "additionalProperties" | "propertyNames" => Some(json!({"allOf": [one, other]})),
        _ => None,
    }
}

fn types(one: &Value, other: &Value) -> Option<Value> {
    let names = |value: &Value| -> Option<Vec<String>> {
        match value {
            Value::String(name) => Some(vec![name.clone()]),
            Value::Array(names) => names
                .iter()
                .map(|name| name.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        }
    };
    let (one, other) = (names(one)?, names(other)?);
    let has = |names: &[String], name: &str| names.iter().any(|each| each == name);
    let in_both = |names: &[String], others: &[String]| -> Vec<String> {
        let within =
            |name: &&String| has(others, name) || *name == "integer" && has(others, "number");
        names.iter().filter(within).cloned().collect()
    };
    let mut common = in_both(&one, &other);
    for name in in_both(&other, &one) {
        if !common.contains(&name) {
            common.push(name);
        }
    }
    Some(common.into())
}
