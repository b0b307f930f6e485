//! JSON schemas as the TypeScript that the model was trained to read.
//!
//! The form is that of OpenAI's renderer to the byte, its line breaks and indents included,
//! for all schemas that it knows. What it renders as `any` for want of knowledge (`$ref`,
//! `anyOf`, `allOf`, `const`, `null`, values of `enum` without a type) is resolved here first:
//! see [`schema`].

mod schema;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

use serde_json::{Map, Value};

use schema::{Schema, Schemas};

/// How deep a type may nest. What lies deeper is `any`; a JSON text nests 128 deep at most.
const DEEPEST: usize = 128;

/// Writes a function's type, as `(_: {…}) => any`, after what `out` holds.
pub(crate) fn write_function(parameters: Option<&Value>, out: &mut String) {
    let Some(root) = parameters else {
        out.push_str("() => any");
        return;
    };
    out.push_str("(_: ");
    Writer {
        schemas: Schemas::new(root),
        depth: 0,
        out,
    }
    .write(root, "");
    out.push_str(") => any");
}

struct Writer<'a> {
    schemas: Schemas<'a>,
    depth: usize,
    out: &'a mut String,
}

impl Writer<'_> {
    /// Writes a type. `indent` is that of the lines which the type may have after its first.
    fn write(&mut self, raw: &Value, indent: &str) {
        let Some(schema) = self.enter(raw) else {
            self.out.push_str("any");
            return;
        };
        self.write_plain(&schema.value, indent);
        self.leave(schema);
    }

    /// A schema whose references are resolved, or [`None`] where it is too deep. To be given to
    /// [`leave`](Self::leave).
    fn enter<'s>(&mut self, raw: &'s Value) -> Option<Schema<'s>> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        Some(self.schemas.open(raw, self.out.len()))
    }

    fn leave(&mut self, schema: Schema<'_>) {
        self.depth -= 1;
        self.schemas.close(schema, self.out.len());
    }

    /// Writes the type of a schema whose own references are resolved.
    fn write_plain(&mut self, schema: &Value, indent: &str) {
        if let Some(variants) = variants(schema) {
            return self.write_variants(variants, indent);
        }
        match &schema["type"] {
            Value::Array(types) if types.iter().any(Value::is_string) => {
                let names = types.iter().filter_map(Value::as_str);
                let names: Vec<&str> = names
                    .map(|name| if name == "integer" { "number" } else { name })
                    .collect();
                self.out.push_str(&names.join(" | "));
            }
            Value::String(name) => match name.as_str() {
                "object" => self.write_object(schema, indent),
                "array" => self.write_array(schema, indent),
                "string" => self.write_string(schema),
                "number" | "integer" => self.out.push_str("number"),
                "boolean" => self.out.push_str("boolean"),
                "null" => self.out.push_str("null"),
                _ => self.out.push_str("any"),
            },
            _ => self.write_values(schema),
        }
    }

    /// A type that is one of several, each on a line of its own.
    fn write_variants(&mut self, variants: &[Value], indent: &str) {
        for variant in variants {
            let _ = write!(self.out, "\n{indent} | ");
            self.write_variant(variant, indent, |variant| {
                let mut comments = Vec::new();
                comments.extend(text(variant, "description").map(str::to_owned));
                comments.extend(variant.get("default").map(|value| match value {
                    Value::String(text) if !is_enum(variant) => format!("default: \"{text}\""),
                    other => format!("default: {other}"),
                }));
                comments
            });
        }
    }

    /// One of several types, with what is said about it behind.
    fn write_variant(
        &mut self,
        raw: &Value,
        indent: &str,
        comments: impl Fn(&Value) -> Vec<String>,
    ) {
        let Some(variant) = self.enter(raw) else {
            self.out.push_str("any");
            return;
        };
        self.write_nullable(&variant.value, &format!("{indent}   "));
        let comments = comments(&variant.value);
        if !comments.is_empty() {
            let _ = write!(self.out, " // {}", comments.join(" "));
        }
        self.leave(variant);
    }

    /// A type, and `null` where that is a value of it and is not said yet.
    fn write_nullable(&mut self, schema: &Value, indent: &str) {
        let start = self.out.len();
        self.write_plain(schema, indent);
        let nullable = schema["nullable"].as_bool().unwrap_or(false);
        if nullable && !self.out[start..].contains("null") {
            self.out.push_str(" | null");
        }
    }

    fn write_object(&mut self, schema: &Value, indent: &str) {
        if let Some(description) = text(schema, "description") {
            let _ = writeln!(self.out, "{indent}// {description}");
        }
        self.out.push_str("{\n");
        if let Some(properties) = schema["properties"].as_object() {
            self.write_properties(properties, &required(schema), indent);
        }
        let _ = write!(self.out, "{indent}}}");
    }

    fn write_properties(
        &mut self,
        properties: &Map<String, Value>,
        required: &HashSet<&str>,
        indent: &str,
    ) {
        for (name, raw) in properties {
            let name = match required.contains(name.as_str()) {
                true => Cow::Borrowed(name.as_str()),
                false => Cow::Owned(format!("{name}?")),
            };
            let Some(schema) = self.enter(raw) else {
                let _ = writeln!(self.out, "{indent}{name}: any,");
                continue;
            };
            self.write_title(&schema.value, indent);
            match variants(&schema.value) {
                Some(variants) => self.write_choice(&name, &schema.value, variants, indent),
                None => self.write_property(&name, &schema.value, indent),
            }
            self.leave(schema);
        }
    }

    /// What stands above a property: its title, its description (that of a choice comes
    /// later), its examples.
    fn write_title(&mut self, schema: &Value, indent: &str) {
        if let Some(title) = text(schema, "title") {
            let _ = write!(self.out, "{indent}// {title}\n{indent}//\n");
        }
        if schema.get("oneOf").is_none()
            && let Some(description) = text(schema, "description")
        {
            let _ = writeln!(self.out, "{indent}// {description}");
        }
        let examples = schema["examples"].as_array().filter(|all| !all.is_empty());
        if let Some(examples) = examples {
            let _ = writeln!(self.out, "{indent}// Examples:");
            for example in examples.iter().filter_map(Value::as_str) {
                let _ = writeln!(self.out, "{indent}// - \"{example}\"");
            }
        }
    }

    fn write_property(&mut self, name: &str, schema: &Value, indent: &str) {
        let _ = write!(self.out, "{indent}{name}: ");
        self.write_nullable(schema, &format!("{indent}    "));
        self.out.push(',');
        if schema.get("oneOf").is_none()
            && let Some(default) = default_of(schema)
        {
            let _ = write!(self.out, " // {default}");
        }
        self.out.push('\n');
    }

    /// A property that is one of several types.
    fn write_choice(&mut self, name: &str, schema: &Value, variants: &[Value], indent: &str) {
        let about = text(schema, "description");
        let first = variants.first().and_then(|first| self.description(first));
        let above = about.filter(|about| first.as_deref() != Some(about));
        if let Some(description) = above {
            let _ = writeln!(self.out, "{indent}// {description}");
        }
        if let Some(default) = default_of(schema) {
            let _ = writeln!(self.out, "{indent}// {default}");
        }
        let _ = writeln!(self.out, "{indent}{name}:");
        for (at, variant) in variants.iter().enumerate() {
            let _ = write!(self.out, "{indent} | ");
            let said = at == 0 && above.is_some();
            self.write_variant(variant, indent, |variant| {
                let description = text(variant, "description")
                    .filter(|description| !said && Some(*description) != about);
                description
                    .map(str::to_owned)
                    .into_iter()
                    .chain(default_of(variant))
                    .collect()
            });
            self.out.push('\n');
        }
        let _ = writeln!(self.out, "{indent},");
    }

    /// A schema's description, its references resolved.
    fn description(&mut self, raw: &Value) -> Option<String> {
        let schema = self.enter(raw)?;
        let description = text(&schema.value, "description").map(str::to_owned);
        self.leave(schema);
        description
    }

    fn write_array(&mut self, schema: &Value, indent: &str) {
        match schema.get("items") {
            Some(items) => {
                self.write(items, indent);
                self.out.push_str("[]");
            }
            None => self.out.push_str("Array<any>"),
        }
    }

    fn write_string(&mut self, schema: &Value) {
        let values = schema["enum"].as_array().map_or(&[][..], Vec::as_slice);
        let values = values.iter().filter_map(Value::as_str);
        let values: Vec<String> = values.map(|value| format!("\"{value}\"")).collect();
        match values.is_empty() {
            true => self.out.push_str("string"),
            false => self.out.push_str(&values.join(" | ")),
        }
    }

    /// A schema without a type: its values where it lists them.
    fn write_values(&mut self, schema: &Value) {
        match schema["enum"].as_array().filter(|all| !all.is_empty()) {
            Some(values) => {
                let values = values.iter().map(|value| match value {
                    Value::String(text) => format!("\"{text}\""),
                    other => other.to_string(),
                });
                self.out.push_str(&values.collect::<Vec<_>>().join(" | "));
            }
            None => self.out.push_str("any"),
        }
    }
}

/// The types that a schema is one of.
fn variants(schema: &Value) -> Option<&[Value]> {
    schema["oneOf"].as_array().map(Vec::as_slice)
}

fn required(schema: &Value) -> HashSet<&str> {
    let names = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    names.iter().filter_map(Value::as_str).collect()
}

fn text<'s>(schema: &'s Value, key: &str) -> Option<&'s str> {
    schema[key].as_str()
}

fn is_enum(schema: &Value) -> bool {
    schema["enum"].as_array().is_some_and(|all| !all.is_empty())
}

/// What is said of a default: a text is quoted, but not where it is one of an enum's.
fn default_of(schema: &Value) -> Option<String> {
    Some(match schema.get("default")? {
        Value::String(text) if is_enum(schema) => format!("default: {text}"),
        Value::String(text) => format!("default: \"{text}\""),
        other => format!("default: {other}"),
    })
}
