//! A schema's own keywords, with those of what it refers to and of all of `allOf`.

use serde_json::Value;

use super::error::Problem;
use super::keywords::Keywords;
use super::keywords::{Meaning, meaning};
use super::lower::{Lower, Result};
use super::merge::merge;
use super::reference;

impl<'a> Lower<'a> {
    /// A schema's keywords, in which `allOf` and `$ref` are resolved. `$ref` stays where
    /// nothing stands beside it and it `may_refer`.
    pub(super) fn flatten(&mut self, raw: &Value, may_refer: bool) -> Result<Keywords> {
        self.deeper(|lower| lower.flatten_here(raw, may_refer))
    }

    fn flatten_here(&mut self, raw: &Value, may_refer: bool) -> Result<Keywords> {
        let mut keywords = match raw {
            Value::Bool(true) => Keywords::new(),
            Value::Bool(false) => return Err(self.fail(Problem::Empty("it is `false`"))),
            Value::Object(raw) => self.enforced(raw)?,
            _ => return Err(self.fail(Problem::NotA("a schema: an object, true or false"))),
        };
        let reference = keywords.shift_remove("$ref");
        let all = keywords.shift_remove("allOf");
        let all = all.map_or(Ok(Vec::new()), |all| self.list("allOf", all))?;
        let alone = keywords.is_empty() && may_refer;
        match (reference, &all[..]) {
            (Some(Value::String(reference)), []) if alone => {
                reference::resolve(self.root, &reference)
                    .map_err(|problem| self.fail_at("$ref", problem))?;
                keywords.insert("$ref".to_owned(), reference.into());
                return Ok(keywords);
            }
            (None, [only]) if alone => {
                return self.within(".allOf[0]", |lower| lower.flatten(only, true));
            }
            (None, _) => {}
            (Some(Value::String(reference)), _) => {
                let (target, _) = reference::resolve(self.root, &reference)
                    .map_err(|problem| self.fail_at("$ref", problem))?;
                let referred = self.within(".$ref", |lower| lower.flatten(target, false))?;
                self.add(&mut keywords, referred)?;
            }
            _ => return Err(self.fail_at("$ref", Problem::NotA("a string"))),
        }
        for (at, part) in all.iter().enumerate() {
            let part = self.within(&format!(".allOf[{at}]"), |lower| lower.flatten(part, false))?;
            self.add(&mut keywords, part)?;
        }
        Ok(keywords)
    }

    /// What of a schema says something of the value.
    fn enforced(&mut self, raw: &Keywords) -> Result<Keywords> {
        let mut keywords = Keywords::new();
        for (keyword, value) in raw {
            match meaning(keyword, value, raw) {
                Meaning::Nothing => {}
                Meaning::Refused => {
                    return Err(self.fail_at(keyword, Problem::Keyword(keyword.clone())));
                }
                Meaning::Enforced => {
                    keywords.insert(keyword.clone(), value.clone());
                }
            }
        }
        self.tuples(&mut keywords);
        if let Some(value) = keywords.shift_remove("const") {
            let constant = Keywords::from_iter([("enum".to_owned(), vec![value].into())]);
            self.add(&mut keywords, constant)?;
        }
        Ok(keywords)
    }

    /// Before 2019 a list of items was what `prefixItems` is now.
    fn tuples(&self, keywords: &mut Keywords) {
        let rest = keywords.shift_remove("additionalItems");
        if let Some(Value::Array(_)) = keywords.get("items")
            && !keywords.contains_key("prefixItems")
            && let Some(items) = keywords.shift_remove("items")
        {
            keywords.insert("prefixItems".to_owned(), items);
            if let Some(rest) = rest {
                keywords.insert("items".to_owned(), rest);
            }
        }
    }

    /// Adds keywords that hold as well.
    pub(super) fn add(&self, keywords: &mut Keywords, more: Keywords) -> Result<()> {
        merge(keywords, more).map_err(|(keyword, problem)| self.fail_at(&keyword, problem))
    }
}
