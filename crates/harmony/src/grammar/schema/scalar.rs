//! Strings, and the numbers in keywords.

use serde_json::{Value, json};

use super::error::Problem;
use super::formats::FORMATS;
use super::keywords::Keywords;
use super::lower::{Lower, Result};
use super::{pattern, reference};

/// The most that a length or a count may be.
const MOST: u64 = 1 << 20;

impl Lower<'_> {
    pub(super) fn string(&mut self, keywords: &Keywords) -> Result<Value> {
        let (min, max) = self.range(keywords, "minLength", "maxLength")?;
        let mut schema = json!({"type": "string"});
        if let Some(text) = self.text(keywords, "pattern")? {
            pattern::check(text).map_err(|problem| self.fail_at("pattern", problem))?;
            schema["pattern"] = text.into();
        }
        if let Some(format) = self.text(keywords, "format")? {
            if !FORMATS.contains(&format) {
                let problem = Problem::Format(reference::excerpt(format));
                return Err(self.fail_at("format", problem));
            }
            for other in ["pattern", "minLength", "maxLength"] {
                // Each has at least one character.
                if keywords.contains_key(other) && !(other == "minLength" && min <= 1) {
                    let other = format!("`{other}`");
                    let keyword = "format".to_owned();
                    return Err(self.fail_at("format", Problem::Beside { keyword, other }));
                }
            }
            schema["format"] = format.into();
            return Ok(schema);
        }
        if min > 0 {
            schema["minLength"] = min.into();
        }
        if let Some(max) = max {
            schema["maxLength"] = max.into();
        }
        Ok(schema)
    }

    fn text<'k>(&self, keywords: &'k Keywords, keyword: &str) -> Result<Option<&'k str>> {
        match keywords.get(keyword) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.fail_at(keyword, Problem::NotA("a string"))),
        }
    }

    /// The least and the most of a length or a count.
    pub(super) fn range(
        &self,
        keywords: &Keywords,
        least: &str,
        most: &str,
    ) -> Result<(u64, Option<u64>)> {
        let min = self.count(keywords, least)?.unwrap_or(0);
        let max = self.count(keywords, most)?;
        if max.is_some_and(|max| max < min) {
            let problem = Problem::Empty("the least is more than the most");
            return Err(self.fail_at(least, problem));
        }
        if min > MOST {
            let problem = Problem::NotA("at most 1048576");
            return Err(self.fail_at(least, problem));
        }
        // No answer is as long as what more would allow.
        Ok((min, max.filter(|max| *max <= MOST)))
    }

    fn count(&self, keywords: &Keywords, keyword: &str) -> Result<Option<u64>> {
        let Some(value) = keywords.get(keyword) else {
            return Ok(None);
        };
        let whole = value.as_u64().or_else(|| {
            let number = value.as_f64()?;
            (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
        });
        match whole {
            Some(count) => Ok(Some(count)),
            None => Err(self.fail_at(keyword, Problem::NotA("a whole number from 0 on"))),
        }
    }
}
