//! JSON schemas as the TypeScript that the model was trained to read.
//!
//! The form is that of OpenAI's renderer to the byte, its line breaks and indents included,
//! for all schemas that it knows. What it renders as `any`, or without a part, for want of
//! knowledge is resolved here first: [`schema`] lists it.

mod schema;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write;

use serde_json::Value;

use schema::{Schema, Schemas, Types};

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

struct Writer<'a, 'o> {
    schemas: Schemas<'a>,
    depth: usize,
    out: &'o mut String,
}

impl<'a> Writer<'a, '_> {
    /// Writes a type. `indent` is that of the lines which the type may have after its first.
    fn write(&mut self, raw: &'a Value, indent: &str) {
        let Some(schema) = self.enter(raw) else {
            self.out.push_str("any");
            return;
        };
        self.write_type(&schema, indent);
        self.leave(&schema);
    }

    /// A schema whose references are resolved, or [`None`] where it is too deep. To be given to
    /// [`leave`](Self::leave).
    fn enter(&mut self, raw: &'a Value) -> Option<Schema<'a>> {
        if self.depth == DEEPEST {
            return None;
        }
        self.depth += 1;
        Some(self.schemas.open(raw, self.out.len()))
    }

    fn leave(&mut self, schema: &Schema<'a>) {
        self.depth -= 1;
        self.schemas.close(schema, self.out.len());
    }

    fn write_type(&mut self, schema: &Schema<'a>, indent: &str) {
        if let Some(variants) = schema.variants {
            return self.write_variants(variants, indent);
        }
        match schema.types {
            Types::None => self.write_values(schema),
            Types::One("object") => self.write_object(schema, indent),
            Types::One("array") => self.write_array(schema, indent),
            Types::One("string") => self.write_string(schema),
            Types::One("number" | "integer") => self.out.push_str("number"),
            Types::One(name @ ("boolean" | "null")) => self.out.push_str(name),
            Types::One(_) => self.out.push_str("any"),
            Types::Several(names) => {
                let names = names.iter().filter_map(Value::as_str);
                let names = names.map(|name| if name == "integer" { "number" } else { name });
                self.out.push_str(&names.collect::<Vec<_>>().join(" | "));
            }
        }
    }

    /// A type that is one of several, each on a line of its own.
    fn write_variants(&mut self, variants: &'a [Value], indent: &str) {
        for variant in variants {
            let _ = write!(self.out, "\n{indent} | ");
            self.write_variant(variant, indent, |variant| {
                let default = variant.default.map(|value| match value {
                    Value::String(text) if variant.values.is_empty() => {
                        format!("default: \"{text}\"")
                    }
                    other => format!("default: {other}"),
                });
                variant
                    .description
                    .map(str::to_owned)
                    .into_iter()
                    .chain(default)
                    .collect()
            });
        }
    }

    /// One of several types, with what is said about it behind.
    fn write_variant(
        &mut self,
        raw: &'a Value,
        indent: &str,
        comments: impl Fn(&Schema<'a>) -> Vec<String>,
    ) {
        let Some(variant) = self.enter(raw) else {
            self.out.push_str("any");
            return;
        };
        self.write_nullable(&variant, &format!("{indent}   "));
        let comments = comments(&variant);
        if !comments.is_empty() {
            let _ = write!(self.out, " // {}", comments.join(" "));
        }
        self.leave(&variant);
    }

    /// A type, and `null` where that is a value of it and is not said yet.
    fn write_nullable(&mut self, schema: &Schema<'a>, indent: &str) {
        let start = self.out.len();
        self.write_type(schema, indent);
        if schema.nullable && !self.out[start..].contains("null") {
            self.out.push_str(" | null");
        }
    }

    fn write_object(&mut self, schema: &Schema<'a>, indent: &str) {
        if let Some(description) = schema.description {
            let _ = writeln!(self.out, "{indent}// {description}");
        }
        self.out.push_str("{\n");
        let required: HashSet<&str> = schema.required.iter().copied().collect();
        for (name, raw) in &schema.properties {
            let name = match required.contains(name) {
                true => Cow::Borrowed(*name),
                false => Cow::Owned(format!("{name}?")),
            };
            self.write_property(&name, raw, indent);
        }
        let _ = write!(self.out, "{indent}}}");
    }

    /// A property by its name, with `?` where it may be missing.
    fn write_property(&mut self, name: &str, raw: &'a Value, indent: &str) {
        let Some(schema) = self.enter(raw) else {
            let _ = writeln!(self.out, "{indent}{name}: any,");
            return;
        };
        self.write_title(&schema, indent);
        match schema.variants {
            Some(variants) => self.write_choice(name, &schema, variants, indent),
            None => self.write_simple(name, &schema, indent),
        }
        self.leave(&schema);
    }

    /// What stands above a property: its title, its description (that of a choice comes
    /// later), its examples.
    fn write_title(&mut self, schema: &Schema<'a>, indent: &str) {
        if let Some(title) = schema.title {
            let _ = write!(self.out, "{indent}// {title}\n{indent}//\n");
        }
        let described = schema.variants.is_none() && !schema.no_variants;
        if let Some(description) = schema.description.filter(|_| described) {
            let _ = writeln!(self.out, "{indent}// {description}");
        }
        if !schema.examples.is_empty() {
            let _ = writeln!(self.out, "{indent}// Examples:");
        }
        for example in schema.examples.iter().filter_map(Value::as_str) {
            let _ = writeln!(self.out, "{indent}// - \"{example}\"");
        }
    }

    fn write_simple(&mut self, name: &str, schema: &Schema<'a>, indent: &str) {
        let _ = write!(self.out, "{indent}{name}: ");
        self.write_nullable(schema, &format!("{indent}    "));
        self.out.push(',');
        if let Some(default) = default_of(schema).filter(|_| !schema.no_variants) {
            let _ = write!(self.out, " // {default}");
        }
        self.out.push('\n');
    }

    /// A property that is one of several types.
    fn write_choice(
        &mut self,
        name: &str,
        schema: &Schema<'a>,
        variants: &'a [Value],
        indent: &str,
    ) {
        let about = schema.description;
        let first = variants.first().and_then(|first| self.description(first));
        let above = about.filter(|_| about != first);
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
                let description = variant.description;
                let description = description.filter(|_| !said && description != about);
                let description = description.map(str::to_owned);
                description.into_iter().chain(default_of(variant)).collect()
            });
            self.out.push('\n');
        }
        let _ = writeln!(self.out, "{indent},");
    }

    /// A schema's description, its references resolved.
    fn description(&mut self, raw: &'a Value) -> Option<&'a str> {
        let schema = self.enter(raw)?;
        self.leave(&schema);
        schema.description
    }

    fn write_array(&mut self, schema: &Schema<'a>, indent: &str) {
        match schema.items {
            Some(items) => {
                self.write(items, indent);
                self.out.push_str("[]");
            }
            None => self.out.push_str("Array<any>"),
        }
    }

    fn write_string(&mut self, schema: &Schema<'a>) {
        let values = schema.values.iter().filter_map(Value::as_str);
        let values: Vec<String> = values.map(|value| format!("\"{value}\"")).collect();
        match values.is_empty() {
            true => self.out.push_str("string"),
            false => self.out.push_str(&values.join(" | ")),
        }
    }

    /// A schema without a type: its values where it lists them.
    fn write_values(&mut self, schema: &Schema<'a>) {
        if schema.values.is_empty() {
            self.out.push_str("any");
            return;
        }
        let values = schema.values.iter().map(|value| match value {
            Value::String(text) => format!("\"{text}\""),
            other => other.to_string(),
        });
        self.out.push_str(&values.collect::<Vec<_>>().join(" | "));
    }
}

/// What is said of a default: a text is quoted, but not where it is one of an enum's.
fn default_of(schema: &Schema<'_>) -> Option<String> {
    Some(match schema.default? {
        Value::String(text) if !schema.values.is_empty() => format!("default: {text}"),
        Value::String(text) => format!("default: \"{text}\""),
        other => format!("default: {other}"),
    })
}

#[cfg(test)]
mod tests;
