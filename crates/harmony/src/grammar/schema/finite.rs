//! Whether a value can come to an end.

use serde_json::Value;

/// The first definition whose values would have no end.
pub(super) fn first_endless(definitions: &[Value]) -> Option<usize> {
    let mut ends = vec![false; definitions.len()];
    loop {
        let before = ends.clone();
        for (at, definition) in definitions.iter().enumerate() {
            ends[at] = ends[at] || can_end(definition, &before);
        }
        if ends == before {
            return ends.iter().position(|ends| !ends);
        }
    }
}

/// Whether a schema's value can end, where those definitions' values do.
fn can_end(schema: &Value, ends: &[bool]) -> bool {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let number = reference
            .rsplit('/')
            .next()
            .and_then(|name| name.parse().ok());
        return number.is_some_and(|number: usize| ends.get(number) == Some(&true));
    }
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        return branches.iter().any(|branch| can_end(branch, ends));
    }
    let properties = schema.get("properties");
    let required = schema.get("required").and_then(Value::as_array);
    let named = required.into_iter().flatten().filter_map(Value::as_str);
    let prefix = schema.get("prefixItems").and_then(Value::as_array);
    let min = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
    let more = min > prefix.map_or(0, |prefix| prefix.len() as u64);
    named
        .filter_map(|name| properties?.get(name))
        .chain(prefix.into_iter().flatten())
        .chain(schema.get("items").filter(|_| more))
        .all(|part| can_end(part, ends))
}
