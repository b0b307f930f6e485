//! Objects and arrays.

use serde_json::{Value, json};

use super::error::Problem;
use super::keywords::Keywords;
use super::lower::{Lower, Result};

impl Lower<'_> {
    /// An object has the properties that are named, in their order, and no others unless
    /// `additionalProperties` says so, or nothing is said at all.
    pub(super) fn object(&mut self, keywords: &Keywords) -> Result<Value> {
        for keyword in ["patternProperties", "propertyNames"] {
            if keywords.contains_key(keyword) {
                return self.object_by_names(keyword, keywords);
            }
        }
        let named = self.named(keywords)?;
        let required = self.required(keywords)?;
        let says_others = keywords.contains_key("additionalProperties");
        let keyword = if says_others {
            "additionalProperties"
        } else {
            "unevaluatedProperties"
        };
        let others = self.others(keyword, keywords)?;
        let mut properties = Keywords::new();
        for (name, raw) in &named {
            let is_required = required.contains(name);
            if *raw == Value::Bool(false) {
                if is_required || others.is_some() {
                    let problem = Problem::Empty("a property is `false` and has to be there");
                    return Err(self.fail_at("properties", problem));
                }
                continue;
            }
            let place = format!(".properties.{name}");
            let schema = self.within(&place, |lower| lower.schema(raw))?;
            properties.insert(name.clone(), schema);
        }
        let open = others.is_some() || !(says_others || keywords.contains_key(keyword));
        for name in &required {
            if properties.contains_key(name) {
                continue;
            }
            if !open {
                let problem = Problem::Empty("what is required is not among its properties");
                return Err(self.fail_at("required", problem));
            }
            properties.insert(name.clone(), others.clone().unwrap_or(json!({})));
        }
        let (min, max) = self.range(keywords, "minProperties", "maxProperties")?;
        // A function that lists no properties takes none.
        let listed = keywords.contains_key("properties") || !required.is_empty();
        let free = others.is_some() || (open && !listed);
        self.check_count(
            min,
            max,
            required.len(),
            (!free).then_some(properties.len()),
        )?;
        let mut schema = json!({"type": "object"});
        if !properties.is_empty() || !free {
            schema["properties"] = properties.into();
            schema["additionalProperties"] = false.into();
        }
        if let Some(others) = others {
            schema["additionalProperties"] = others;
        }
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        count(&mut schema, min, max);
        Ok(schema)
    }

    /// An object whose properties are known by their names' form alone.
    fn object_by_names(&mut self, keyword: &str, keywords: &Keywords) -> Result<Value> {
        for other in [
            "properties",
            "required",
            "patternProperties",
            "propertyNames",
        ] {
            let value = keywords.get(other);
            let says = value.is_some_and(|value| *value != json!([]) && *value != json!({}));
            if other != keyword && says {
                return Err(self.beside(keyword, other));
            }
        }
        let (min, max) = self.range(keywords, "minProperties", "maxProperties")?;
        self.check_count(min, max, 0, None)?;
        let mut schema = json!({"type": "object"});
        if keyword == "propertyNames" {
            let names = &keywords[keyword];
            let names = self.within(".propertyNames", |lower| {
                let mut names = lower.flatten(names, false)?;
                let string = Keywords::from_iter([("type".to_owned(), "string".into())]);
                lower.add(&mut names, string)?;
                lower.names(names)
            })?;
            let closing = ["additionalProperties", "unevaluatedProperties"]
                .into_iter()
                .find(|closing| keywords.contains_key(*closing))
                .unwrap_or("additionalProperties");
            if keywords.get(closing) == Some(&Value::Bool(false)) {
                return Err(self.beside(keyword, closing));
            }
            let others = self.others(closing, keywords)?;
            schema["propertyNames"] = names;
            schema["additionalProperties"] = others.unwrap_or(true.into());
        } else {
            let patterns = keywords[keyword].as_object().cloned().unwrap_or_default();
            let [(pattern, of)] = &patterns.iter().collect::<Vec<_>>()[..] else {
                let problem = Problem::NotA("an object with one pattern");
                return Err(self.fail_at(keyword, problem));
            };
            if keywords
                .get("additionalProperties")
                .is_some_and(|value| *value != false)
            {
                return Err(self.beside(keyword, "additionalProperties"));
            }
            let place = format!(".{keyword}.{pattern}");
            let of = self.within(&place, |lower| {
                super::pattern::check(pattern).map_err(|problem| lower.fail(problem))?;
                lower.schema(of)
            })?;
            schema["patternProperties"] = Keywords::from_iter([((*pattern).clone(), of)]).into();
            schema["additionalProperties"] = false.into();
        }
        count(&mut schema, min, max);
        Ok(schema)
    }

    /// What names of properties are: a string without a reference in it.
    fn names(&mut self, keywords: Keywords) -> Result<Value> {
        if keywords.contains_key("anyOf") || keywords.contains_key("oneOf") {
            let problem = Problem::NotA("a pattern, a length or an `enum` alone");
            return Err(self.fail(problem));
        }
        let raw = Value::Object(keywords);
        self.schema(&raw)
    }

    fn named(&mut self, keywords: &Keywords) -> Result<Keywords> {
        let named = match keywords.get("properties") {
            None => return Ok(Keywords::new()),
            Some(Value::Object(named)) => named.clone(),
            Some(_) => return Err(self.fail_at("properties", Problem::NotA("an object"))),
        };
        self.limits
            .properties(named.len())
            .map_err(|problem| self.fail_at("properties", problem))?;
        Ok(named)
    }

    fn required(&self, keywords: &Keywords) -> Result<Vec<String>> {
        let names = match keywords.get("required") {
            None => return Ok(Vec::new()),
            Some(Value::Array(names)) => names,
            Some(_) => return Err(self.fail_at("required", Problem::NotA("an array of names"))),
        };
        let mut required = Vec::new();
        for name in names {
            let Some(name) = name.as_str() else {
                return Err(self.fail_at("required", Problem::NotA("an array of names")));
            };
            if !required.iter().any(|each| each == name) {
                required.push(name.to_owned());
            }
        }
        Ok(required)
    }

    /// What properties are that are not named; none where there may be none.
    fn others(&mut self, keyword: &str, keywords: &Keywords) -> Result<Option<Value>> {
        match keywords.get(keyword) {
            None | Some(Value::Bool(false)) => Ok(None),
            Some(raw) => {
                let place = format!(".{keyword}");
                self.within(&place, |lower| lower.schema(raw)).map(Some)
            }
        }
    }

    /// Refuses a count of properties that cannot be, or cannot be enforced: `most` is how many
    /// there may be, where that is known.
    fn check_count(
        &self,
        min: u64,
        max: Option<u64>,
        required: usize,
        most: Option<usize>,
    ) -> Result<()> {
        if max.is_some_and(|max| max < required as u64) {
            let problem = Problem::Empty("more properties are required");
            return Err(self.fail_at("maxProperties", problem));
        }
        match most {
            Some(most) if min > most as u64 => {
                let problem = Problem::Empty("it has fewer properties");
                Err(self.fail_at("minProperties", problem))
            }
            // One name may be written twice.
            None if min > 1 && min > required as u64 => {
                let other = "properties of any name".to_owned();
                let keyword = "minProperties".to_owned();
                Err(self.fail_at("minProperties", Problem::Beside { keyword, other }))
            }
            _ => Ok(()),
        }
    }

    /// An array has the items that are said first, then any number of `items`.
    pub(super) fn array(&mut self, keywords: &Keywords) -> Result<Value> {
        let (min, max) = self.range(keywords, "minItems", "maxItems")?;
        let prefix = keywords.get("prefixItems").cloned();
        let has_prefix = prefix.is_some();
        let mut prefix = prefix.map_or(Ok(Vec::new()), |list| self.list("prefixItems", list))?;
        prefix.truncate(max.map_or(usize::MAX, |max| max as usize));
        self.limits
            .properties(prefix.len())
            .map_err(|problem| self.fail_at("prefixItems", problem))?;
        let rest = ["items", "unevaluatedItems"]
            .into_iter()
            .find(|keyword| keywords.contains_key(*keyword));
        let mut items = Vec::new();
        for (at, raw) in prefix.iter().enumerate() {
            let place = format!(".prefixItems[{at}]");
            items.push(self.within(&place, |lower| lower.schema(raw))?);
        }
        let more = min > items.len() as u64;
        let rest = match rest {
            Some(keyword) => self.others(keyword, keywords)?,
            None if !has_prefix || more => Some(json!({})),
            None => None,
        };
        if rest.is_none() && more {
            let problem = Problem::Empty("more items are required than there may be");
            return Err(self.fail_at("minItems", problem));
        }
        let mut schema = json!({"type": "array"});
        if !items.is_empty() {
            schema["prefixItems"] = items.into();
        }
        schema["items"] = rest.unwrap_or(false.into());
        if min > 0 {
            schema["minItems"] = min.into();
        }
        if let Some(max) = max {
            schema["maxItems"] = max.into();
        }
        Ok(schema)
    }

    fn beside(&self, keyword: &str, other: &str) -> super::SchemaError {
        let other = format!("`{other}`");
        let problem = Problem::Beside {
            keyword: keyword.to_owned(),
            other,
        };
        self.fail_at(keyword, problem)
    }
}

fn count(schema: &mut Value, min: u64, max: Option<u64>) {
    if min > 0 {
        schema["minProperties"] = min.into();
    }
    if let Some(max) = max {
        schema["maxProperties"] = max.into();
    }
}
