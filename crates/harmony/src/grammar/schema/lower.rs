//! A schema written anew: what all its parts have in common.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::error::{Problem, SchemaError};
use super::keywords::Keywords;
use super::limits::DEEPEST;
use super::limits::Limits;
use super::{finite, reference};

pub(super) type Result<T> = std::result::Result<T, SchemaError>;

/// The types of JSON, as schemas name them.
pub(super) const TYPES: [&str; 7] = [
    "object", "array", "string", "number", "integer", "boolean", "null",
];

/// Writes a schema anew.
pub(super) fn lower(root: &Value, limits: &mut Limits) -> Result<Value> {
    let mut lower = Lower {
        root,
        limits,
        path: String::new(),
        depth: 0,
        numbers: HashMap::new(),
        places: Vec::new(),
    };
    let mut schema = lower.schema(root)?;
    let mut definitions = Vec::new();
    // What they refer to comes to their end.
    while let Some(pointer) = lower.places.get(definitions.len()) {
        let target = root.pointer(pointer).unwrap_or(&Value::Null);
        lower.path = reference::place(pointer);
        definitions.push(lower.schema(target)?);
    }
    if let Some(endless) = finite::first_endless(&definitions) {
        let path = reference::place(&lower.places[endless]);
        let problem = Problem::Endless;
        return Err(SchemaError { path, problem });
    }
    if !definitions.is_empty()
        && let Some(schema) = schema.as_object_mut()
    {
        let named = definitions.into_iter().enumerate();
        let named: Keywords = named.map(|(at, each)| (at.to_string(), each)).collect();
        schema.insert("$defs".to_owned(), named.into());
    }
    Ok(schema)
}

/// What of a schema that is written anew is objects.
pub(super) fn only_objects(mut schema: Value) -> Option<Value> {
    let definitions = schema.as_object_mut()?.shift_remove("$defs");
    let mut objects = objects_of(&schema, definitions.as_ref(), 0)?;
    if let (Some(definitions), Some(objects)) = (definitions, objects.as_object_mut()) {
        objects.insert("$defs".to_owned(), definitions);
    }
    Some(objects)
}

fn objects_of(schema: &Value, definitions: Option<&Value>, way: usize) -> Option<Value> {
    if way > DEEPEST {
        return None;
    }
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        let objects = |branch| objects_of(branch, definitions, way + 1);
        return any_of(branches.iter().filter_map(objects).collect());
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next()?;
        let target = definitions?.get(name)?;
        // The reference stays where all of it is objects.
        let objects = objects_of(target, definitions, way + 1)?;
        return Some(if objects == *target {
            schema.clone()
        } else {
            objects
        });
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<_> = values.iter().filter(|value| value.is_object()).collect();
        return (!values.is_empty()).then(|| json!({"enum": values}));
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => Some(schema.clone()),
        Some(_) => None,
        None => Some(json!({"type": "object"})),
    }
}

/// One alternative alone is that; none is no schema.
pub(super) fn any_of(mut branches: Vec<Value>) -> Option<Value> {
    match branches.len() {
        0 => None,
        1 => branches.pop(),
        _ => Some(json!({"anyOf": branches})),
    }
}

/// A schema that is being written anew.
pub(super) struct Lower<'a> {
    pub(super) root: &'a Value,
    pub(super) limits: &'a mut Limits,
    /// Where in the schema.
    path: String,
    depth: usize,
    /// What references refer to: the numbers of definitions, by pointer.
    numbers: HashMap<String, usize>,
    /// The pointers, by number.
    places: Vec<String>,
}

impl Lower<'_> {
    /// One schema.
    pub(super) fn schema(&mut self, raw: &Value) -> Result<Value> {
        let keywords = self.flatten(raw, true)?;
        self.deeper(|lower| lower.of(keywords))
    }

    /// A schema by its keywords.
    fn of(&mut self, mut keywords: Keywords) -> Result<Value> {
        if let Some(Value::String(reference)) = keywords.get("$ref") {
            return self.refer(reference);
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = keywords.shift_remove(keyword) {
                return self.alternatives(keyword, branches, keywords);
            }
        }
        if let Some(values) = keywords.shift_remove("enum") {
            return self.enumeration(values, &keywords);
        }
        let types = self.types_of(&keywords)?;
        if types.is_empty() {
            return Ok(json!({}));
        }
        let mut branches = Vec::new();
        for name in types {
            branches.push(self.of_type(name, &keywords)?);
        }
        any_of(branches).ok_or_else(|| self.fail(Problem::Empty("it has no type")))
    }

    fn of_type(&mut self, name: &'static str, keywords: &Keywords) -> Result<Value> {
        match name {
            "object" => self.object(keywords),
            "array" => self.array(keywords),
            "string" => self.string(keywords),
            "integer" => self.integer(keywords),
            "number" => self.number(keywords),
            _ => Ok(json!({"type": name})),
        }
    }

    /// `anyOf` or `oneOf`, with what stands beside it in each.
    fn alternatives(&mut self, keyword: &str, branches: Value, base: Keywords) -> Result<Value> {
        let branches = self.list(keyword, branches)?;
        self.limits
            .alternatives(branches.len())
            .map_err(|problem| self.fail_at(keyword, problem))?;
        let mut merged = Vec::new();
        for (at, branch) in branches.iter().enumerate() {
            if *branch == Value::Bool(false) {
                continue;
            }
            let place = format!(".{keyword}[{at}]");
            let branch = self.within(&place, |lower| {
                let branch = lower.flatten(branch, base.is_empty())?;
                let mut all = base.clone();
                lower.add(&mut all, branch)?;
                Ok(all)
            })?;
            merged.push((place, branch));
        }
        if keyword == "oneOf" {
            self.check_disjoint(&merged)?;
        }
        let mut lowered = Vec::new();
        for (place, branch) in merged {
            lowered.push(self.within(&place, |lower| lower.deeper(|lower| lower.of(branch)))?);
        }
        any_of(lowered)
            .ok_or_else(|| self.fail_at(keyword, Problem::Empty("it has no alternatives")))
    }

    fn refer(&mut self, reference: &str) -> Result<Value> {
        let (_, pointer) = reference::resolve(self.root, reference)
            .map_err(|problem| self.fail_at("$ref", problem))?;
        let next = self.places.len();
        let number = *self.numbers.entry(pointer.clone()).or_insert(next);
        if number == next {
            self.places.push(pointer);
        }
        Ok(json!({"$ref": format!("#/$defs/{number}")}))
    }

    /// The types that a schema names, or those that its keywords are about.
    pub(super) fn types_of(&self, keywords: &Keywords) -> Result<Vec<&'static str>> {
        let Some(types) = keywords.get("type") else {
            return Ok(implied(keywords));
        };
        let known = |name: &Value| {
            let problem = || match name.as_str() {
                Some(name) => Problem::Type(reference::excerpt(name)),
                None => Problem::NotA("a type's name, or an array of them"),
            };
            let found = TYPES.into_iter().find(|known| *name == **known);
            found.ok_or_else(|| self.fail_at("type", problem()))
        };
        let mut names = match types {
            Value::Array(names) => names.iter().map(known).collect::<Result<Vec<_>>>()?,
            name => vec![known(name)?],
        };
        if names.is_empty() {
            return Err(self.fail_at("type", Problem::Empty("no type is left")));
        }
        if names.contains(&"number") {
            names.retain(|name| *name != "integer");
        }
        let mut seen = Vec::new();
        names.retain(|name| {
            !seen.contains(name) && {
                seen.push(*name);
                true
            }
        });
        Ok(names)
    }

    /// An array that a keyword has.
    pub(super) fn list(&self, keyword: &str, value: Value) -> Result<Vec<Value>> {
        match value {
            Value::Array(list) => Ok(list),
            _ => Err(self.fail_at(keyword, Problem::NotA("an array"))),
        }
    }

    pub(super) fn fail(&self, problem: Problem) -> SchemaError {
        SchemaError {
            path: self.path.clone(),
            problem,
        }
    }

    pub(super) fn fail_at(&self, keyword: &str, problem: Problem) -> SchemaError {
        SchemaError {
            path: format!("{}.{keyword}", self.path),
            problem,
        }
    }

    /// Goes on at a place within.
    pub(super) fn within<T>(
        &mut self,
        step: &str,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let length = self.path.len();
        self.path.push_str(step);
        let result = work(self);
        self.path.truncate(length);
        result
    }

    /// Goes on one level below.
    pub(super) fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEEPEST {
            return Err(self.fail(Problem::Deep(DEEPEST)));
        }
        self.limits.schema().map_err(|problem| self.fail(problem))?;
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }
}

/// The types that keywords are about. Of other types a value would be allowed to be anything,
/// which nobody means.
fn implied(keywords: &Keywords) -> Vec<&'static str> {
    let mut types: Vec<_> = keywords
        .keys()
        .filter_map(|keyword| about(keyword))
        .collect();
    types.sort_unstable();
    types.dedup();
    types
}

/// The type that a keyword is about.
fn about(keyword: &str) -> Option<&'static str> {
    match keyword {
        "items" | "prefixItems" | "minItems" | "maxItems" | "unevaluatedItems" => Some("array"),
        "format" | "pattern" | "minLength" | "maxLength" => Some("string"),
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => Some("number"),
        "additionalProperties"
        | "maxProperties"
        | "minProperties"
        | "patternProperties"
        | "properties"
        | "propertyNames"
        | "required"
        | "unevaluatedProperties" => Some("object"),
        _ => None,
    }
}

/// Whether a keyword is about a type.
pub(super) fn is_about(name: &str, keyword: &str) -> bool {
    about(keyword) == Some(name)
}
