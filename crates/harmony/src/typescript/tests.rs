use serde_json::{Map, json};

use super::*;

fn function(parameters: &Value) -> String {
    let mut out = String::new();
    write_function(Some(parameters), &mut out);
    out
}

/// The type of a property `a`, which is not required.
fn property(schema: &Value) -> String {
    let text = function(&json!({"type": "object", "properties": {"a": schema}}));
    let text = text.strip_prefix("(_: {\n").expect("it is an object");
    text.strip_suffix("}) => any")
        .expect("it is an object")
        .to_owned()
}

#[test]
fn the_form_that_the_model_was_trained_with() {
    let schema = json!({
        "type": "object",
        "properties": {
            "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
            "format": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
            "days": {"type": "array", "items": {"type": "integer"}},
            "where": {
                "type": "object",
                "description": "A place",
                "properties": {"x": {"type": "number", "nullable": true}},
                "required": ["x"]
            },
            "any": {},
        },
        "required": ["location"]
    });
    let right = "\
(_: {
// The city and state, e.g. San Francisco, CA
location: string,
format?: \"celsius\" | \"fahrenheit\", // default: celsius
days?: number[],
// A place
where?:     // A place
{
    x: number | null,
    },
any?: any,
}) => any";
    assert_eq!(function(&schema), right);
    let mut none = String::new();
    write_function(None, &mut none);
    assert_eq!(none, "() => any");
}

/// What OpenAI's renderer writes as `any`, or without what it says, for want of these words.
#[test]
fn words_that_the_oracle_does_not_know() {
    for (schema, right) in [
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            "a?: string | null,\n",
        ),
        (json!({"anyOf": [{"type": "string"}]}), "a?: string,\n"),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
            "a?:\n | string\n | number\n,\n",
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
            "a?:\n | string\n | null\n,\n",
        ),
        (
            json!({"allOf": [{"type": "string"}], "description": "A"}),
            "// A\na?: string,\n",
        ),
        (
            json!({"allOf": [
                {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]},
                {"properties": {"y": {"type": "number"}}, "required": ["y"]},
            ]}),
            "a?: {\n    x: string,\n    y: number,\n    },\n",
        ),
        (json!({"const": "x"}), "a?: \"x\",\n"),
        (json!({"const": "x", "type": "string"}), "a?: \"x\",\n"),
        (json!({"const": 5, "type": "integer"}), "a?: 5,\n"),
        (json!({"const": null}), "a?: null,\n"),
        (json!({"enum": ["x", 1, null]}), "a?: \"x\" | 1 | null,\n"),
        (json!({"type": "null"}), "a?: null,\n"),
        (
            json!({"type": ["string", "null"], "enum": ["x", null]}),
            "a?: \"x\" | null,\n",
        ),
        (
            json!({"type": ["array", "null"], "items": {"type": "string"}}),
            "a?: string[] | null,\n",
        ),
        (
            json!({"type": ["object", "null"], "properties": {"x": {}}}),
            "a?: {\n    x?: any,\n    } | null,\n",
        ),
        (
            json!({"properties": {"x": {}}}),
            "a?: {\n    x?: any,\n    },\n",
        ),
        (json!({"items": {"type": "string"}}), "a?: string[],\n"),
    ] {
        assert_eq!(property(&schema), right, "of {schema}");
    }
}

/// What random schemas found.
#[test]
fn what_is_said_twice_or_is_no_schema() {
    for (schema, right) in [
        (
            json!({"anyOf": [true, {"type": "null"}]}),
            "a?: any | null,\n",
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}], "nullable": false}),
            "a?: string | null,\n",
        ),
        (
            json!({"type": ["string", "null"], "enum": ["x"], "nullable": false}),
            "a?: \"x\" | null,\n",
        ),
        (
            json!({"allOf": [{"properties": {"x": {}}, "required": ["x"]}], "required": 7}),
            "a?: {\n    x: any,\n    },\n",
        ),
    ] {
        assert_eq!(property(&schema), right, "of {schema}");
    }
}

/// Beside a type, `anyOf` is a condition: it changes nothing, as with the oracle.
#[test]
fn any_of_beside_a_type() {
    let schema = json!({
        "type": "object",
        "properties": {"x": {"type": "string"}},
        "anyOf": [{"required": ["x"]}, {"required": ["y"]}]
    });
    assert_eq!(property(&schema), "a?: {\n    x?: string,\n    },\n");
}

#[test]
fn references() {
    let schema = json!({
        "type": "object",
        "$defs": {
            "city": {"type": "string", "description": "A city"},
            "a/b": {"type": "number"},
            "node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/node", "description": "The next"}}
            },
        },
        "properties": {
            "from": {"$ref": "#/$defs/city"},
            "to": {"$ref": "#/$defs/city", "description": "Another city", "default": "Rome"},
            "n": {"$ref": "#/$defs/a~1b"},
            "all": {"type": "array", "items": {"$ref": "#/$defs/city"}},
            "node": {"$ref": "#/$defs/node"},
            "lost": {"$ref": "#/$defs/lost", "title": "Lost"},
            "far": {"$ref": "https://example.com/schema"},
        }
    });
    let right = "\
(_: {
// A city
from?: string,
// Another city
to?: string, // default: \"Rome\"
n?: number,
all?: string[],
node?: {
    // The next
    next?: any,
    },
// Lost
//
lost?: any,
far?: any,
}) => any";
    assert_eq!(function(&schema), right);
}

#[test]
fn references_that_grow_without_bounds_are_bounded() {
    // Each definition has the next one twice: 2 to the power of 60 types.
    let mut definitions = Map::new();
    for at in 0..60 {
        let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
        let schema = json!({"type": "object", "properties": {"a": next, "b": next}});
        definitions.insert(format!("d{at}"), schema);
    }
    let schema = json!({"$ref": "#/$defs/d0", "$defs": definitions});
    assert!(function(&schema).len() < 1 << 20);
    // One large definition that is referred to often.
    let large = json!({"type": "string", "enum": ["x".repeat(100_000)]});
    let properties: Map<String, Value> = (0..5_000)
        .map(|at| (format!("p{at}"), json!({"$ref": "#/$defs/large"})))
        .collect();
    let schema = json!({"type": "object", "properties": properties, "$defs": {"large": large}});
    assert!(function(&schema).len() < 1 << 20);
}

#[test]
fn what_refers_to_itself_ends() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
        json!({"oneOf": [{"$ref": "#/oneOf/0"}]}),
        json!({"items": {"$ref": "#"}}),
        json!({"$ref": "#/a", "a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}}),
    ] {
        assert!(function(&schema).contains("any"), "of {schema}");
    }
}

/// Writes a function's type with little stack.
fn written_with_little_stack(schema: Value) -> usize {
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let thread = thread.spawn(move || function(&schema).len());
    thread.expect("a thread starts").join().expect("it ends")
}

#[test]
fn schemas_as_deep_as_json_may_be() {
    for key in ["items", "allOf", "oneOf", "anyOf", "properties"] {
        let mut schema = json!({"type": "string"});
        for _ in 0..60 {
            schema = match key {
                "items" => json!({"type": "array", "items": {"items": schema}}),
                "properties" => json!({"type": "object", "properties": {"a": schema}}),
                _ => json!({key: [schema, {}]}),
            };
        }
        let text = schema.to_string();
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{key}");
        written_with_little_stack(schema);
    }
}

#[test]
fn references_as_deep_as_they_like() {
    for key in ["items", "allOf", "oneOf", "anyOf"] {
        let (open, close) = match key {
            "items" => (r#"{"items":"#.repeat(30), "}".repeat(30)),
            _ => (format!("{{\"{key}\":[").repeat(30), "]}".repeat(30)),
        };
        let definitions: Vec<String> = (1..=1_100)
            .map(|at| format!(r##""d{}":{open}{{"$ref":"#/$defs/d{at}"}}{close}"##, at - 1))
            .collect();
        let definitions = definitions.join(",");
        let text = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{definitions}}}}}"##);
        let schema = serde_json::from_str(&text).expect("it is JSON");
        let start = std::time::Instant::now();
        assert!(written_with_little_stack(schema) < 1 << 20);
        eprintln!("{key} {:?}", start.elapsed());
    }
}
