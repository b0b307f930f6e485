//! Random JSON schemas, each in the words that the oracle knows and in others that mean the
//! same.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::text::{name, text};

type Keys = Map<String, Value>;

/// A schema.
#[derive(Clone, Debug)]
pub enum Schema {
    /// One that both write in the same words.
    Leaf(Value),
    Object {
        keys: Keys,
        properties: Vec<(String, Schema)>,
    },
    Array {
        keys: Keys,
        items: Box<Schema>,
    },
    OneOf {
        keys: Keys,
        variants: Vec<Schema>,
    },
    /// `$ref`; `allOf` of one; `anyOf` of one and `null`; of several.
    Reference(Box<Schema>),
    AllOf {
        keys: Keys,
        of: Box<Schema>,
    },
    Nullable {
        keys: Keys,
        of: Box<Schema>,
    },
    AnyOf {
        keys: Keys,
        variants: Vec<Schema>,
    },
    Constant {
        keys: Keys,
        value: String,
        typed: bool,
    },
    /// `type: [X, null]` where other keys say more about X.
    ObjectOrNull {
        keys: Keys,
        properties: Vec<(String, Schema)>,
    },
    EnumOrNull {
        keys: Keys,
        values: Vec<String>,
    },
}

impl Schema {
    /// The schema in the oracle's words.
    pub fn plain(&self) -> Value {
        self.write(&mut None)
    }

    /// The schema in all words.
    pub fn extended(&self) -> Value {
        let mut definitions = Some(Keys::new());
        let mut schema = self.write(&mut definitions);
        if let (Value::Object(keys), Some(definitions)) = (&mut schema, definitions)
            && !definitions.is_empty()
        {
            keys.insert("$defs".to_owned(), Value::Object(definitions));
        }
        schema
    }

    /// Writes the schema; where there is room for definitions in all words.
    fn write(&self, definitions: &mut Option<Keys>) -> Value {
        let extended = definitions.is_some();
        match self {
            Self::Leaf(value) => value.clone(),
            Self::Object { keys, properties } => object(keys, properties, definitions),
            Self::Array { keys, items } => with(
                keys,
                [
                    ("type", json!("array")),
                    ("items", items.write(definitions)),
                ],
            ),
            Self::OneOf { keys, variants } => with(keys, [("oneOf", all(variants, definitions))]),
            Self::AnyOf { keys, variants } => {
                let word = if extended { "anyOf" } else { "oneOf" };
                with(keys, [(word, all(variants, definitions))])
            }
            Self::Reference(of) => {
                let schema = of.write(definitions);
                let Some(definitions) = definitions else {
                    return schema;
                };
                let name = format!("d/{}~", definitions.len());
                definitions.insert(name.clone(), schema);
                let pointer = name.replace('~', "~0").replace('/', "~1");
                json!({"$ref": format!("#/$defs/{pointer}")})
            }
            Self::AllOf { keys, of } => {
                let schema = of.write(definitions);
                match extended {
                    true => with(keys, [("allOf", json!([schema]))]),
                    false => over(schema, keys),
                }
            }
            Self::Nullable { keys, of } => {
                let schema = of.write(definitions);
                match extended {
                    true => with(keys, [("anyOf", json!([schema, {"type": "null"}]))]),
                    false => {
                        let mut keys = keys.clone();
                        keys.insert("nullable".to_owned(), json!(true));
                        over(schema, &keys)
                    }
                }
            }
            Self::Constant { keys, value, typed } => match (extended, typed) {
                (false, _) => with(keys, [("type", json!("string")), ("enum", json!([value]))]),
                (true, true) => with(keys, [("type", json!("string")), ("const", json!(value))]),
                (true, false) => with(keys, [("const", json!(value))]),
            },
            Self::ObjectOrNull { keys, properties } => {
                let schema = object(keys, properties, definitions);
                or_null(schema, "object", extended)
            }
            Self::EnumOrNull { keys, values } => {
                let schema = with(keys, [("enum", json!(values))]);
                or_null(schema, "string", extended)
            }
        }
    }
}

fn all(schemas: &[Schema], definitions: &mut Option<Keys>) -> Value {
    schemas
        .iter()
        .map(|schema| schema.write(definitions))
        .collect()
}

fn object(keys: &Keys, properties: &[(String, Schema)], definitions: &mut Option<Keys>) -> Value {
    let properties: Keys = properties
        .iter()
        .map(|(name, schema)| (name.clone(), schema.write(definitions)))
        .collect();
    with(
        keys,
        [
            ("type", json!("object")),
            ("properties", Value::Object(properties)),
        ],
    )
}

fn or_null(schema: Value, name: &str, extended: bool) -> Value {
    let keys = match extended {
        true => json!({"type": [name, "null"]}),
        false => json!({"type": name, "nullable": true}),
    };
    over(schema, keys.as_object().expect("it is an object"))
}

fn with<const N: usize>(keys: &Keys, more: [(&str, Value); N]) -> Value {
    let mut keys = keys.clone();
    keys.extend(more.map(|(key, value)| (key.to_owned(), value)));
    Value::Object(keys)
}

/// A schema with these keys in place of its own. What is no schema has none.
fn over(schema: Value, keys: &Keys) -> Value {
    let mut schema = match schema {
        Value::Object(schema) => schema,
        _ => Keys::new(),
    };
    schema.extend(keys.clone());
    Value::Object(schema)
}

/// What can be said about any schema.
fn keys() -> impl Strategy<Value = Keys> {
    let pairs = prop::collection::vec(
        prop_oneof![
            3 => text().prop_map(|text| ("description", json!(text))),
            1 => text().prop_map(|text| ("title", json!(text))),
            3 => value().prop_map(|value| ("default", value)),
            1 => any::<bool>().prop_map(|is| ("nullable", json!(is))),
            1 => prop::collection::vec(value(), 0..3).prop_map(|all| ("examples", json!(all))),
            1 => Just(("additionalProperties", json!(false))),
            1 => Just(("minimum", json!(0))),
            // What is no schema is not read.
            1 => prop::sample::select(vec!["description", "title", "nullable", "examples"])
                .prop_map(|key| (key, json!(7))),
        ],
        0..3,
    );
    pairs.prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    })
}

/// A JSON value.
pub fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => text().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => prop::collection::vec(text(), 0..3).prop_map(Value::from),
        1 => (text(), any::<u8>()).prop_map(|(key, value)| json!({key: value})),
    ]
}

fn leaf() -> impl Strategy<Value = Schema> {
    let types = vec![
        json!({"type": "string"}),
        json!({"type": "number"}),
        json!({"type": "integer"}),
        json!({"type": "boolean"}),
        json!({"type": "array"}),
        json!({"type": "object"}),
        json!({"type": "file"}),
        json!({"type": ["string", "null"]}),
        json!({"type": ["integer", "string"]}),
        json!({"type": []}),
        json!({"type": 7}),
        json!({"oneOf": 7}),
        json!({"oneOf": []}),
        json!({}),
        json!({"type": "string", "enum": []}),
        json!({"type": "string", "enum": 7}),
        json!({"type": "string", "format": "date"}),
        json!({"type": "object", "properties": 7, "required": [7]}),
        json!({"type": "integer", "enum": [1, 2]}),
        json!({"$ref": "#/nowhere"}),
        json!({"$ref": 7}),
        json!({"$ref": "https://example.com/x"}),
        json!({"anyOf": 7}),
        json!({"type": "string", "enum": ["a", 7, "b"]}),
    ];
    let typed = (keys(), prop::sample::select(types))
        .prop_map(|(keys, schema)| over(schema, &keys))
        .prop_map(Schema::Leaf);
    let values = (keys(), prop::collection::vec(text(), 1..4)).prop_map(|(keys, values)| {
        Schema::Leaf(with(
            &keys,
            [("type", json!("string")), ("enum", json!(values))],
        ))
    });
    let no_schema = prop::sample::select(vec![
        json!(true),
        json!(false),
        json!(null),
        json!("x"),
        json!([]),
    ]);
    let constant = (keys(), text(), any::<bool>())
        .prop_map(|(keys, value, typed)| Schema::Constant { keys, value, typed });
    let or_null = (keys(), prop::collection::vec(text(), 1..4))
        .prop_map(|(keys, values)| Schema::EnumOrNull { keys, values });
    prop_oneof![
        6 => typed,
        2 => values,
        1 => no_schema.prop_map(Schema::Leaf),
        1 => constant,
        1 => or_null,
    ]
}

/// Any schema.
pub fn schema() -> impl Strategy<Value = Schema> {
    leaf().prop_recursive(4, 24, 5, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let variants = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            4 => object_of(inner.clone()),
            2 => (keys(), boxed.clone()).prop_map(|(keys, items)| Schema::Array { keys, items }),
            2 => (keys(), variants()).prop_map(|(keys, variants)| Schema::OneOf { keys, variants }),
            1 => boxed.clone().prop_map(Schema::Reference),
            1 => (keys(), boxed.clone()).prop_map(|(keys, of)| Schema::AllOf { keys, of }),
            1 => (keys(), boxed).prop_map(|(keys, of)| Schema::Nullable { keys, of }),
            1 => (keys(), variants()).prop_map(|(keys, variants)| Schema::AnyOf { keys, variants }),
            1 => object_of(inner.clone()).prop_map(|schema| match schema {
                Schema::Object { keys, properties } => Schema::ObjectOrNull { keys, properties },
                other => other,
            }),
        ]
    })
}

fn object_of(inner: impl Strategy<Value = Schema> + 'static) -> impl Strategy<Value = Schema> {
    let property = (prop_oneof![4 => name(), 1 => text()], inner, any::<bool>());
    (keys(), prop::collection::vec(property, 0..5)).prop_map(|(mut keys, properties)| {
        let required: Vec<&String> = properties
            .iter()
            .filter(|(.., required)| *required)
            .map(|(name, ..)| name)
            .collect();
        if !required.is_empty() {
            keys.insert("required".to_owned(), json!(required));
        }
        let properties = properties
            .into_iter()
            .map(|(name, schema, _)| (name, schema))
            .collect();
        Schema::Object { keys, properties }
    })
}

/// A function's arguments: mostly an object.
pub fn parameters() -> impl Strategy<Value = Schema> {
    prop_oneof![4 => object_of(schema()), 1 => schema()]
}
