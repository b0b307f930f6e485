//! What a schema means, in the words that the types are written from.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// How much text the references of one function may add, in bytes. A schema whose
/// definitions refer to each other twice each grows beyond all bounds otherwise.
const MOST_TEXT: usize = 256 << 10;

/// How many references of one function are followed.
const MOST_REFERENCES: usize = 1000;

/// The schema of one function, in which references are resolved.
pub(super) struct Schemas<'a> {
    root: &'a Value,
    /// The references that are being written, the outermost first.
    open: Vec<String>,
    /// How long the written text was when the outermost of them began.
    began: usize,
    /// What references added before that, in bytes.
    added: usize,
    /// How many were followed.
    followed: usize,
}

/// A schema that is being written.
pub(super) struct Schema<'s> {
    /// The schema, by the keywords that [`super::Writer`] knows.
    pub(super) value: Cow<'s, Value>,
    /// How many references led to it.
    references: usize,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self {
            root,
            open: Vec::new(),
            began: 0,
            added: 0,
            followed: 0,
        }
    }

    /// A schema with its own references resolved, not those of its parts. `written` is how much
    /// text there is. To be given to [`close`](Self::close).
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
    pub(super) fn open<'s>(&mut self, raw: &'s Value, written: usize) -> Schema<'s> {
        let before = self.open.len();
        let mut value = Cow::Borrowed(raw);
        while let Some(simpler) = self.simpler(&value, written) {
            value = Cow::Owned(Value::Object(simpler));
        }
        Schema {
            value,
            references: self.open.len() - before,
        }
    }

    /// A schema was written, `written` bytes of text are there now.
    pub(super) fn close(&mut self, schema: Schema<'_>, written: usize) {
        let open = self.open.len() - schema.references;
        self.open.truncate(open);
        if open == 0 && schema.references > 0 {
            self.added += written.saturating_sub(self.began);
        }
    }

    /// The schema without one of the keywords that have to be resolved.
    fn simpler(&mut self, schema: &Value, written: usize) -> Option<Map<String, Value>> {
        let keys = schema.as_object()?;
        if let Some(Value::String(pointer)) = keys.get("$ref") {
            let beside = without(keys, "$ref");
            let Some(target) = self.follow(pointer, written) else {
                return Some(beside.collect());
            };
            let mut target = target.clone();
            target.extend(beside);
            return Some(target);
        }
        if let Some(Value::Array(parts)) = keys.get("allOf") {
            return Some(self.joined(parts, without(keys, "allOf").collect(), written));
        }
        untyped(keys)
            .or_else(|| any_of(keys))
            .or_else(|| type_or_null(keys))
            .or_else(|| constant(keys))
    }

    /// What a reference refers to, unless that is being written or goes beyond the limits.
    fn follow(&mut self, pointer: &str, written: usize) -> Option<&'a Map<String, Value>> {
        let target = self.root.pointer(pointer.strip_prefix('#')?)?.as_object()?;
        if self.open.is_empty() {
            self.began = written;
        }
        let added = self.added + written.saturating_sub(self.began);
        if added > MOST_TEXT
            || self.followed == MOST_REFERENCES
            || self.open.iter().any(|open| open == pointer)
        {
            return None;
        }
        self.followed += 1;
        self.open.push(pointer.to_owned());
        Some(target)
    }

    /// All parts in one: properties and required names of all, of other keys the last.
    fn joined(
        &mut self,
        parts: &[Value],
        beside: Map<String, Value>,
        written: usize,
    ) -> Map<String, Value> {
        let mut keys = Map::new();
        for part in parts {
            // Its references stay open with the whole, inside which it is written.
            if let Value::Object(part) = self.open(part, written).value.into_owned() {
                join(&mut keys, part);
            }
        }
        join(&mut keys, beside);
        keys
    }
}

/// A schema's keys but one.
fn without<'m>(
    keys: &'m Map<String, Value>,
    but: &str,
) -> impl Iterator<Item = (String, Value)> + use<'m> {
    let but = but.to_owned();
    keys.iter()
        .filter(move |(key, _)| **key != but)
        .map(|(key, value)| (key.clone(), value.clone()))
}

/// Adds a schema's keys to those of another.
fn join(keys: &mut Map<String, Value>, part: Map<String, Value>) {
    for (key, value) in part {
        match (keys.get_mut(&key), value) {
            (Some(Value::Object(there)), Value::Object(more)) if key == "properties" => {
                there.extend(more);
            }
            (Some(Value::Array(there)), Value::Array(more)) if key == "required" => {
                there.extend(more);
            }
            (_, value) => {
                keys.insert(key, value);
            }
        }
    }
}

/// What has properties is an object, what has items an array.
fn untyped(keys: &Map<String, Value>) -> Option<Map<String, Value>> {
    if ["type", "oneOf"].iter().any(|key| keys.contains_key(*key)) {
        return None;
    }
    let implied = [("properties", "object"), ("items", "array")];
    let (_, name) = implied.iter().find(|(key, _)| keys.contains_key(*key))?;
    let mut typed = keys.clone();
    typed.insert("type".to_owned(), (*name).into());
    Some(typed)
}

/// `anyOf` of one type, with or without `null`, is the type; any other is as `oneOf`.
fn any_of(keys: &Map<String, Value>) -> Option<Map<String, Value>> {
    let Some(Value::Array(variants)) = keys.get("anyOf") else {
        return None;
    };
    if keys.contains_key("oneOf") || keys.contains_key("type") {
        // It only says more about what is said already, as which names are required together.
        return None;
    }
    let (nulls, types): (Vec<&Value>, Vec<&Value>) = variants
        .iter()
        .partition(|variant| variant["type"] == "null");
    let mut beside: Map<String, Value> = without(keys, "anyOf").collect();
    if let [one] = &types[..] {
        let mut keys = one.as_object().cloned().unwrap_or_default();
        keys.extend(beside);
        if !nulls.is_empty() {
            keys.insert("nullable".to_owned(), true.into());
        }
        return Some(keys);
    }
    beside.insert("oneOf".to_owned(), Value::Array(variants.clone()));
    Some(beside)
}

/// A list of one type, or of one and `null`, where keys say more about the type.
fn type_or_null(keys: &Map<String, Value>) -> Option<Map<String, Value>> {
    let Some(Value::Array(types)) = keys.get("type") else {
        return None;
    };
    let more = ["enum", "const", "properties", "items"];
    if !more.iter().any(|key| keys.contains_key(*key)) {
        return None;
    }
    let mut names = types.iter().filter(|name| *name != "null");
    let (Some(name), None) = (names.next(), names.next()) else {
        return None;
    };
    let mut simple = keys.clone();
    simple.insert("type".to_owned(), name.clone());
    if types.len() > 1 {
        simple.insert("nullable".to_owned(), true.into());
    }
    Some(simple)
}

/// `const` is an enum of one. Only a text's type goes with it: a number's would hide it.
fn constant(keys: &Map<String, Value>) -> Option<Map<String, Value>> {
    let value = keys.get("const")?;
    let mut simple: Map<String, Value> = without(keys, "const").collect();
    if !simple.contains_key("enum") {
        simple.remove("type");
        if value.is_string() {
            simple.insert("type".to_owned(), "string".into());
        }
        simple.insert("enum".to_owned(), Value::Array(vec![value.clone()]));
    }
    Some(simple)
}
