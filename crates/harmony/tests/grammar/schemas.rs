//! Random JSON schemas.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

/// A schema as people and programs write them.
pub fn usual() -> impl Strategy<Value = Value> {
    let definitions = json!({
        "tree": {"type": "object", "properties": {
            "name": {"type": "string", "maxLength": 8},
            "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
        }, "required": ["name", "children"], "additionalProperties": false},
        "list": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {
            "next": {"$ref": "#/$defs/list"},
        }, "required": ["next"]}]},
        "word": {"type": "string", "pattern": "^[a-z]{1,9}$", "title": "Word"},
    });
    nested().prop_map(move |mut schema| {
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("$defs".to_owned(), definitions.clone());
            schema.insert(
                "$schema".to_owned(),
                "https://json-schema.org/draft/2020-12/schema".into(),
            );
        }
        schema
    })
}

/// An object's schema, as functions have them.
pub fn arguments() -> impl Strategy<Value = Value> {
    object(leaf())
}

fn nested() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            4 => object(inner.clone()),
            2 => array(inner.clone()),
            1 => any_of(inner.clone()),
            1 => one_of(inner.clone()),
            1 => all_of(inner.clone()),
            1 => nullable(inner.clone()),
            1 => annotated(inner),
        ]
    })
}

fn leaf() -> impl Strategy<Value = Value> + Clone {
    let fixed = [
        json!({"type": "string"}),
        json!({"type": "string", "minLength": 2, "maxLength": 5}),
        json!({"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "string", "format": "date-time"}),
        json!({"type": "string", "format": "uuid"}),
        json!({"type": "string", "format": "ipv4"}),
        json!({"type": "integer"}),
        json!({"type": "integer", "minimum": -3, "exclusiveMaximum": 12}),
        json!({"type": "integer", "minimum": 0.5}),
        json!({"type": "number"}),
        json!({"type": "number", "minimum": 0, "maximum": 1}),
        json!({"type": "number", "exclusiveMinimum": 0}),
        json!({"type": "number", "maximum": -0.000_000_1}),
        json!({"type": "boolean"}),
        json!({"type": "null"}),
        json!({"enum": ["a", "b c", "\"\\\n", "é", 7, null, true, 1.5]}),
        json!({"const": "fixed"}),
        json!({"type": "string", "enum": ["x", "y", 3]}),
        json!({"type": ["string", "null"], "maxLength": 3}),
        json!({"type": ["integer", "boolean"]}),
        json!({"$ref": "#/$defs/word"}),
        json!({"$ref": "#/$defs/list", "description": "beside it"}),
        json!({"$ref": "#/$defs/tree"}),
        json!({"allOf": [{"$ref": "#/$defs/word"}], "default": "x"}),
        json!({"$ref": "#/$defs/word", "enum": ["x"]}),
        json!({"type": "object"}),
        json!({"type": "object", "additionalProperties": {"type": "integer"}}),
        json!({"type": "array", "maxItems": 2}),
        json!({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false}),
        json!({"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}, "additionalProperties": {"type": "null"}}),
        json!({"type": "object", "patternProperties": {"^x_": {"type": "boolean"}}}),
        json!({}),
        json!(true),
    ];
    // References are to the root's definitions, which functions' arguments have not.
    select(fixed.to_vec())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "a",
            "b",
            "name",
            "the_value",
            "x-y",
            "é",
            "a b",
            "\"q\"",
            "$ref",
            "not"
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,12}",
    ]
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let properties = prop::collection::vec((name(), inner, any::<bool>()), 0..5);
    let more = prop_oneof![
        4 => Just(Some(json!(false))),
        2 => Just(None),
        1 => Just(Some(json!(true))),
        1 => Just(Some(json!({"type": "string", "maxLength": 2}))),
    ];
    (properties, more).prop_map(|(properties, more)| {
        let mut named = Map::new();
        let mut required = Vec::new();
        for (name, schema, needed) in properties {
            if needed && !required.contains(&name) {
                required.push(name.clone());
            }
            named.insert(name, schema);
        }
        let mut schema = json!({"type": "object", "properties": named, "required": required});
        if let Some(more) = more {
            schema["additionalProperties"] = more;
        }
        schema
    })
}

fn array(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (inner, 0..3_u32, prop::option::of(0..3_u32)).prop_map(|(items, min, more)| {
        let mut schema = json!({"type": "array", "items": items, "minItems": min});
        if let Some(more) = more {
            schema["maxItems"] = (min + more).into();
        }
        schema
    })
}

fn any_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec(inner, 1..4).prop_map(|branches| json!({"anyOf": branches}))
}

/// As pydantic writes a union whose schemas a property tells apart.
fn one_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec(inner, 1..4).prop_map(|values| {
        let branch = |(at, value): (usize, Value)| {
            json!({"type": "object", "required": ["kind", "value"], "properties": {
                "kind": {"const": format!("kind{at}"), "type": "string"}, "value": value,
            }})
        };
        let branches: Vec<_> = values.into_iter().enumerate().map(branch).collect();
        json!({"oneOf": branches, "discriminator": {"propertyName": "kind"}})
    })
}

fn all_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (inner, 0..2_u32).prop_map(|(value, beside)| {
        let more = json!({"type": "object", "properties": {"more": value}, "required": ["more"]});
        let base = json!({"type": "object", "properties": {"base": {"type": "integer"}}});
        match beside {
            0 => json!({"allOf": [base, more]}),
            _ => json!({"type": "object", "properties": {"base": {"type": "integer"}, "other": {"type": "null"}},
                "anyOf": [more, {"required": ["other"]}]}),
        }
    })
}

fn nullable(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    inner.prop_map(|schema| json!({"anyOf": [schema, {"type": "null"}], "default": null}))
}

fn annotated(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    inner.prop_map(|mut schema| {
        if let Some(schema) = schema.as_object_mut() {
            for (key, value) in [
                ("title", json!("A title")),
                ("description", json!("Says something.\nIn lines.")),
                ("examples", json!([{"uniqueItems": true}])),
                ("deprecated", json!(true)),
                ("readOnly", json!(false)),
                ("x-order", json!(3)),
                ("$comment", json!("")),
            ] {
                schema.insert(key.to_owned(), value);
            }
        }
        schema
    })
}

/// Any keywords beside each other, with values that may be wrong for them.
pub fn wild() -> impl Strategy<Value = Value> {
    wild_leaf().prop_recursive(2, 12, 3, |inner| {
        let keys = subsequence(KEYWORDS.to_vec(), 1..5);
        (keys, prop::collection::vec((inner, any::<u32>()), 5)).prop_map(|(keys, parts)| {
            let mut schema = Map::new();
            for (key, (part, draw)) in keys.into_iter().zip(parts) {
                schema.insert(key.to_owned(), value_for(key, part, draw));
            }
            schema.into()
        })
    })
}

const KEYWORDS: [&str; 34] = [
    "type",
    "type",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "enum",
    "const",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "unevaluatedProperties",
    "$ref",
    "title",
];

fn wild_leaf() -> impl Strategy<Value = Value> {
    let leaves = vec![
        json!({}),
        json!(true),
        json!(false),
        json!({"type": "string"}),
        json!({"type": "integer"}),
        json!({"type": "null"}),
        json!({"const": 1}),
        json!({"enum": ["a", "abc", 1, {"a": 1}, [1]]}),
        json!({"minLength": 2}),
        json!({"required": ["a"]}),
        json!({"type": ["number", "array"]}),
        json!({"properties": {"a": {"type": "integer"}}}),
        json!({"$ref": "#"}),
        json!(5),
    ];
    select(leaves)
}

fn value_for(key: &str, part: Value, draw: u32) -> Value {
    let one_of = |values: &[Value]| values[draw as usize % values.len()].clone();
    match key {
        "type" => one_of(&[
            json!("object"),
            json!("array"),
            json!("string"),
            json!("integer"),
            json!("number"),
            json!(["string", "null"]),
            json!(["object", "array"]),
            json!("object"),
            json!("any"),
        ]),
        "properties" | "patternProperties" => one_of(&[
            json!({"a": part}),
            json!({"a": part, "b": {"type": "string"}}),
            json!({"^a+$": part}),
            json!({}),
        ]),
        "required" => one_of(&[
            json!(["a"]),
            json!(["a", "b"]),
            json!([]),
            json!(["z"]),
            json!("a"),
        ]),
        "items" | "additionalProperties" | "not" | "if" | "propertyNames" => part,
        "unevaluatedProperties" => one_of(&[json!(false), json!(true), part]),
        "prefixItems" | "anyOf" | "oneOf" | "allOf" => one_of(&[
            json!([part]),
            json!([part, {"type": "string"}]),
            json!([part, {"required": ["b"]}]),
            json!([part, {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"], "additionalProperties": false}]),
            json!([]),
        ]),
        "uniqueItems" => one_of(&[json!(true), json!(false)]),
        "pattern" => one_of(&[
            json!("^a+$"),
            json!("b"),
            json!("^(x|yz)$"),
            json!("^\\d{2}$"),
        ]),
        "format" => one_of(&[json!("date"), json!("uuid"), json!("nope"), json!("email")]),
        "enum" => one_of(&[
            json!(["a", "bc"]),
            json!([1, 2.0, "a"]),
            json!([]),
            json!([{"a": 1}, [1, 2]]),
        ]),
        "const" => one_of(&[
            json!("a"),
            json!(1),
            json!(null),
            json!({"b": [1]}),
            json!(1e300),
        ]),
        "$ref" => one_of(&[
            json!("#"),
            json!("#/properties/a"),
            json!("http://x/y"),
            json!("#/nothing"),
        ]),
        "title" => json!("T"),
        "minimum" | "exclusiveMinimum" => {
            one_of(&[json!(0), json!(1.5), json!(-7), json!(1e300), json!("1")])
        }
        "maximum" | "exclusiveMaximum" => {
            one_of(&[json!(10), json!(2.25), json!(0), json!(-1e300), json!(true)])
        }
        _ => one_of(&[
            json!(0),
            json!(1),
            json!(2),
            json!(3),
            json!(-1),
            json!(1.5),
            json!("1"),
        ]),
    }
}
