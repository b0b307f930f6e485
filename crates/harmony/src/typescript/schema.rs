//! What a schema means, in the words that types are written from.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// How much text the references of one function may add, in bytes. A schema whose
/// definitions refer to each other twice each grows beyond all bounds otherwise.
const MOST_TEXT: usize = 256 << 10;

/// How many references of one function are followed.
const MOST_REFERENCES: usize = 1000;

/// How many schemas may lead to one, each being the one before in other words.
const LONGEST_WAY: usize = 32;

/// The schema of one function, in which references are resolved.
pub(super) struct Schemas<'a> {
    root: &'a Value,
    /// The references that are being written, the outermost first.
    open: Vec<&'a str>,
    /// How long the written text was when the outermost of them began.
    began: usize,
    /// What references added before that, in bytes.
    added: usize,
    /// How many were followed.
    followed: usize,
    /// How long the text is now.
    written: usize,
}

/// A schema whose own references are resolved, not those of its parts.
#[derive(Default)]
pub(super) struct Schema<'a> {
    pub(super) types: Types<'a>,
    /// The types that it is one of.
    pub(super) variants: Option<&'a [Value]>,
    /// It has variants that are none.
    pub(super) no_variants: bool,
    /// The values of `enum`, or that of `const`.
    pub(super) values: &'a [Value],
    pub(super) properties: Vec<(&'a str, &'a Value)>,
    pub(super) required: Vec<&'a str>,
    pub(super) items: Option<&'a Value>,
    pub(super) nullable: bool,
    pub(super) title: Option<&'a str>,
    pub(super) description: Option<&'a str>,
    pub(super) examples: &'a [Value],
    pub(super) default: Option<&'a Value>,
    constant: Option<&'a Value>,
    has_properties: bool,
    /// `null` is among the listed types.
    lists_null: bool,
    /// How many references led here.
    references: usize,
}

/// What `type` says.
#[derive(Clone, Copy, Default)]
pub(super) enum Types<'a> {
    /// Nothing that is a type.
    #[default]
    None,
    One(&'a str),
    Several(&'a [Value]),
}

impl<'a> Schemas<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self {
            root,
            open: Vec::new(),
            began: 0,
            added: 0,
            followed: 0,
            written: 0,
        }
    }

    /// A schema with its own references resolved. `written` is how much text there is. To be
    /// given to [`close`](Self::close).
    ///
    /// - `$ref` is what it refers to; keys beside it win. A reference to nothing, to what is
    ///   being written, or beyond the limits is left out: what remains is usually `any`.
    /// - `allOf` is all of its parts in one.
    /// - What has properties is an object, what has items an array.
    /// - `anyOf` of one type, with or without `null`, is the type, nullable; any other is as
    ///   `oneOf`. Beside a type it is nothing.
    /// - A list of one type, with or without `null`, is the type, nullable, where other keys
    ///   say more about it.
    /// - `const` is an enum of one.
    pub(super) fn open(&mut self, raw: &'a Value, written: usize) -> Schema<'a> {
        self.written = written;
        let before = self.open.len();
        let mut schema = Schema::default();
        self.collect(raw, &mut schema, 0);
        schema.references = self.open.len() - before;
        schema.finish();
        schema
    }

    /// A schema was written, `written` bytes of text are there now.
    pub(super) fn close(&mut self, schema: &Schema<'_>, written: usize) {
        let open = self.open.len() - schema.references;
        self.open.truncate(open);
        if open == 0 && schema.references > 0 {
            self.added += written.saturating_sub(self.began);
        }
    }

    /// Adds what a schema says to what is said: first what it says in other schemas' words,
    /// then what its own keys say. `way` is how many schemas led to it.
    fn collect(&mut self, raw: &'a Value, schema: &mut Schema<'a>, way: usize) {
        let Some(keys) = raw.as_object().filter(|_| way < LONGEST_WAY) else {
            return;
        };
        if let Some(Value::String(pointer)) = keys.get("$ref")
            && let Some(target) = self.follow(pointer)
        {
            self.collect(target, schema, way + 1);
        }
        if let Some(Value::Array(parts)) = keys.get("allOf") {
            for part in parts {
                self.collect(part, schema, way + 1);
            }
        }
        let mut nullable = false;
        if let Some(Value::Array(variants)) = keys.get("anyOf")
            && !schema.is_typed()
            && !["type", "oneOf", "properties", "items"]
                .iter()
                .any(|key| keys.contains_key(*key))
        {
            let is_null = |variant: &&Value| variant["type"] == "null";
            let mut types = variants.iter().filter(|variant| !is_null(variant));
            if let (Some(one), None) = (types.next(), types.next()) {
                self.collect(one, schema, way + 1);
                nullable = variants.len() > 1;
            } else {
                schema.variants = Some(variants);
            }
        }
        schema.take(keys);
        schema.nullable |= nullable;
    }

    /// What a reference refers to, unless that is being written or goes beyond the limits.
    fn follow(&mut self, pointer: &'a str) -> Option<&'a Value> {
        let target = self.root.pointer(pointer.strip_prefix('#')?)?;
        if self.open.is_empty() {
            self.began = self.written;
        }
        let added = self.added + self.written.saturating_sub(self.began);
        if added > MOST_TEXT || self.followed == MOST_REFERENCES || self.open.contains(&pointer) {
            return None;
        }
        self.followed += 1;
        self.open.push(pointer);
        Some(target)
    }
}

impl<'a> Schema<'a> {
    fn is_typed(&self) -> bool {
        let typed = !matches!(self.types, Types::None);
        typed || self.variants.is_some() || self.has_properties || self.items.is_some()
    }

    /// Takes what keys say. Properties and required names come to those that are there, all
    /// else takes the place of what is there.
    fn take(&mut self, keys: &'a Map<String, Value>) {
        for (key, value) in keys {
            match key.as_str() {
                "type" => self.types = Types::of(value),
                "oneOf" => {
                    self.variants = value.as_array().map(Vec::as_slice);
                    self.no_variants = self.variants.is_none();
                }
                "enum" => self.values = list(value),
                "const" => self.constant = Some(value),
                "items" => self.items = Some(value),
                "nullable" => {
                    self.nullable = value.as_bool().unwrap_or(false);
                    self.lists_null = false;
                }
                "title" => self.title = value.as_str(),
                "description" => self.description = value.as_str(),
                "examples" => self.examples = list(value),
                "default" => self.default = Some(value),
                "required" => self
                    .required
                    .extend(list(value).iter().filter_map(Value::as_str)),
                "properties" => self.take_properties(value),
                _ => {}
            }
        }
        if keys.contains_key("type") {
            self.lists_null = match self.types {
                Types::Several(names) => names.iter().any(|name| name == "null"),
                Types::None | Types::One(_) => false,
            };
        }
    }

    fn take_properties(&mut self, value: &'a Value) {
        self.has_properties = true;
        let places: HashMap<&str, usize> = self
            .properties
            .iter()
            .enumerate()
            .map(|(at, (name, _))| (*name, at))
            .collect();
        for (name, schema) in value.as_object().into_iter().flatten() {
            match places.get(name.as_str()) {
                Some(at) => self.properties[*at].1 = schema,
                None => self.properties.push((name, schema)),
            }
        }
    }

    /// All that is said about the schema is there.
    fn finish(&mut self) {
        if let Some(constant) = self.constant
            && self.values.is_empty()
        {
            self.values = std::slice::from_ref(constant);
            // A number's type would hide its value.
            self.types = if constant.is_string() {
                Types::One("string")
            } else {
                Types::None
            };
        }
        let more = !self.values.is_empty() || self.has_properties || self.items.is_some();
        match self.types {
            Types::None if self.variants.is_some() || self.no_variants => {}
            Types::None if self.has_properties => self.types = Types::One("object"),
            Types::None if self.items.is_some() => self.types = Types::One("array"),
            Types::Several(names) if more => {
                let mut names = names
                    .iter()
                    .filter(|name| *name != "null")
                    .map(Value::as_str);
                if let (Some(Some(name)), None) = (names.next(), names.next()) {
                    self.types = Types::One(name);
                    self.nullable |= self.lists_null;
                }
            }
            Types::None | Types::One(_) | Types::Several(_) => {}
        }
    }
}

impl<'a> Types<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::String(name) => Self::One(name),
            Value::Array(names) if names.iter().any(Value::is_string) => Self::Several(names),
            _ => Self::None,
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
