use serde_json::{Value, json};

use super::{Limits, Problem, Schema};

fn read(schema: &Value) -> Result<Value, (String, Problem)> {
    Schema::read(schema, &mut Limits::default())
        .map(|schema| schema.value().clone())
        .map_err(|error| (error.path, error.problem))
}

#[track_caller]
fn becomes(schema: Value, expect: Value) {
    assert_eq!(read(&schema), Ok(expect), "{schema}");
}

#[track_caller]
fn fails(schema: Value, path: &str) {
    let error = read(&schema).err();
    assert_eq!(
        error.map(|error| error.0).as_deref(),
        Some(path),
        "{schema}"
    );
}

fn integer() -> Value {
    json!({"type": "integer"})
}

#[test]
fn what_says_nothing_of_a_value_is_dropped() {
    becomes(
        json!({"type": "string", "title": "T", "description": "d", "default": 1, "examples": [], "$id": "i",
            "$schema": "s", "$comment": "", "readOnly": true, "x-y": 1, "uniqueItems": false, "nullable": true}),
        json!({"type": "string"}),
    );
    becomes(json!(true), json!({}));
    becomes(json!({"if": {}, "minContains": 2}), json!({}));
}

#[test]
fn an_object_has_what_is_named_and_no_more() {
    becomes(
        json!({"properties": {"a": {"type": "null"}, "b": false}, "required": ["c", "a", "c"]}),
        json!({"type": "object", "properties": {"a": {"type": "null"}, "c": {}},
            "additionalProperties": false, "required": ["c", "a"]}),
    );
    becomes(
        json!({"type": "object", "properties": {}}),
        json!({"type": "object", "properties": {}, "additionalProperties": false}),
    );
    becomes(json!({"type": "object"}), json!({"type": "object"}));
    becomes(
        json!({"type": "object", "additionalProperties": {"type": "null"}}),
        json!({"type": "object", "additionalProperties": {"type": "null"}}),
    );
    fails(
        json!({"required": ["a"], "additionalProperties": false}),
        ".required",
    );
}

#[test]
fn several_types_are_alternatives() {
    becomes(
        json!({"type": ["string", "null"], "maxLength": 2}),
        json!({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]}),
    );
    becomes(
        json!({"type": ["integer", "number"]}),
        json!({"type": "number"}),
    );
    becomes(
        json!({"const": 2.0, "type": "integer"}),
        json!({"enum": [2]}),
    );
    becomes(
        json!({"enum": ["a", 1, "abc", null], "type": ["string", "null"], "maxLength": 2}),
        json!({"enum": ["a", null]}),
    );
}

#[test]
fn numbers_are_bounded() {
    becomes(json!({"type": "integer"}), integer());
    becomes(
        json!({"type": "integer", "minimum": 0.5, "exclusiveMaximum": 9}),
        json!({"type": "integer", "minimum": 1, "maximum": 8}),
    );
    becomes(
        json!({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
        json!({"type": "number", "minimum": 0.000_001, "maximum": 1.0}),
    );
    becomes(
        json!({"type": "integer", "minimum": 1}),
        json!({"type": "integer", "minimum": 1}),
    );
    becomes(
        json!({"type": "number", "exclusiveMaximum": 2}),
        json!({"type": "number", "maximum": 1.999_999}),
    );
    becomes(json!({"type": "number"}), json!({"type": "number"}));
    fails(json!({"type": "integer", "minimum": 2, "maximum": 1}), "");
    fails(json!({"type": "integer", "minimum": 1e300}), ".minimum");
    fails(json!({"type": "number", "minimum": 1e300}), ".minimum");
    fails(json!({"type": "number", "minimum": true}), ".minimum");
}

#[test]
fn tuples_of_older_drafts_are_prefixes() {
    becomes(
        json!({"type": "array", "items": [{"type": "null"}], "additionalItems": false}),
        json!({"type": "array", "prefixItems": [{"type": "null"}], "items": false}),
    );
    becomes(
        json!({"prefixItems": [{"type": "null"}, {"type": "null"}], "maxItems": 1}),
        json!({"type": "array", "prefixItems": [{"type": "null"}], "items": false, "maxItems": 1}),
    );
    fails(json!({"items": false, "minItems": 1}), ".minItems");
}

#[test]
fn names_of_properties_do_not_open_what_is_closed() {
    for closing in ["additionalProperties", "unevaluatedProperties"] {
        fails(
            json!({"propertyNames": {"maxLength": 3}, closing: false}),
            ".propertyNames",
        );
        becomes(
            json!({"propertyNames": {"maxLength": 3}, closing: {"type": "null"}}),
            json!({"type": "object", "propertyNames": {"type": "string", "maxLength": 3},
                "additionalProperties": {"type": "null"}}),
        );
    }
}

#[test]
fn what_both_say_is_merged() {
    becomes(
        json!({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        json!({"anyOf": [
            {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
                "additionalProperties": false, "required": ["a"]},
            {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
                "additionalProperties": false, "required": ["b"]},
        ]}),
    );
    becomes(
        json!({"allOf": [{"minLength": 2}, {"type": ["string", "null"]}, {"minLength": 1, "type": "string"}]}),
        json!({"type": "string", "minLength": 2}),
    );
    becomes(
        json!({"$defs": {"s": {"type": "string"}}, "$ref": "#/$defs/s", "maxLength": 2}),
        json!({"type": "string", "maxLength": 2}),
    );
    fails(
        json!({"allOf": [{"properties": {"a": {}}, "additionalProperties": false}, {"properties": {"b": {}}}]}),
        ".additionalProperties",
    );
    fails(
        json!({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}),
        ".pattern",
    );
}

#[test]
fn references_go_to_definitions() {
    becomes(
        json!({"definitions": {"a/b": {"type": "array", "items": {"$ref": "#"}}, "unused": {"not": {}}},
            "properties": {"x": {"$ref": "#/definitions/a~1b", "description": "d"}}}),
        json!({
            "type": "object", "properties": {"x": {"$ref": "#/$defs/0"}}, "additionalProperties": false,
            "$defs": {
                "0": {"type": "array", "items": {"$ref": "#/$defs/1"}},
                "1": {"type": "object", "properties": {"x": {"$ref": "#/$defs/0"}}, "additionalProperties": false},
            },
        }),
    );
    fails(
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
        ".$defs.a",
    );
    fails(
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {}}}}),
        ".$defs.a.not",
    );
    fails(
        json!({"properties": {"a": {"$ref": "other.json"}}}),
        ".properties.a.$ref",
    );
}

#[test]
fn one_of_is_any_of_where_a_value_is_of_one_alone() {
    let cat =
        json!({"type": "object", "properties": {"kind": {"const": "cat"}}, "required": ["kind"]});
    let dog = json!({"type": "object", "properties": {"kind": {"enum": ["dog", "wolf"]}}, "required": ["kind"]});
    let schema = json!({
        "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}, {"type": "null"}],
        "$defs": {"cat": cat, "dog": dog},
    });
    let read = read(&schema).expect("it can be enforced");
    assert_eq!(read["anyOf"].as_array().map(Vec::len), Some(3));
    fails(
        json!({"oneOf": [{"type": "object"}, {"required": ["a"]}]}),
        ".oneOf",
    );
    fails(json!({"oneOf": [{"const": 1}, {"const": 1.0}]}), ".oneOf");
}

#[test]
fn schemas_are_bounded() {
    let deep = (0..200).fold(json!({}), |inner, _| json!({"items": inner}));
    assert!(matches!(read(&deep), Err((_, Problem::Deep(_)))));
    let wide: Value = (0..6000).map(|at| (at.to_string(), json!({}))).collect();
    assert!(matches!(
        read(&json!({"properties": wide})),
        Err((_, Problem::Many { .. }))
    ));
    let many: Vec<_> = (0..6000).collect();
    assert!(matches!(
        read(&json!({"enum": many})),
        Err((_, Problem::Many { .. }))
    ));
    // Each refers to the one before twice, and merges it.
    let mut definitions = json!({"0": {"type": "string"}});
    for at in 1..40 {
        let before = json!({"$ref": format!("#/$defs/{}", at - 1)});
        definitions[at.to_string()] = json!({"allOf": [before, before]});
    }
    let bomb = json!({"$ref": "#/$defs/39", "$defs": definitions});
    assert!(matches!(
        read(&bomb),
        Err((_, Problem::Deep(_) | Problem::Many { .. }))
    ));
}

#[test]
fn what_is_no_schema_is_refused() {
    for schema in [
        json!(5),
        json!(null),
        json!([]),
        json!("string"),
        json!(false),
    ] {
        fails(schema, "");
    }
    fails(json!({"properties": {"a": 5}}), ".properties.a");
    fails(json!({"anyOf": {}}), ".anyOf");
    fails(
        json!({"anyOf": [{"type": "null"}, {"type": "int"}]}),
        ".anyOf[1].type",
    );
    fails(json!({"required": "a"}), ".required");
    fails(json!({"maxLength": -1}), ".maxLength");
}

#[test]
fn arguments_are_objects() {
    let object = |schema: Value| {
        let schema = Schema::read(&schema, &mut Limits::default()).expect("it can be enforced");
        schema.object().map(|schema| schema.value().clone())
    };
    assert_eq!(object(json!({})), Some(json!({"type": "object"})));
    assert_eq!(object(json!({"type": "string"})), None);
    assert_eq!(
        object(json!({"anyOf": [{"type": "object"}, {"type": "null"}]})),
        Some(json!({"type": "object"}))
    );
    let referred = json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}});
    assert_eq!(
        object(referred),
        Some(json!({"$ref": "#/$defs/0", "$defs": {"0": {"type": "object"}}}))
    );
}
