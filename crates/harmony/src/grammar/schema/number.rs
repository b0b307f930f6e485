//! Numbers.

use serde::Serialize;
use serde_json::{Value, json};

use super::error::Problem;
use super::keywords::Keywords;
use super::lower::{Lower, Result};

/// The largest number beside a bound, and the digits behind the point that xgrammar writes of
/// such a number.
const LARGEST_BOUND: f64 = 1e15;
const MILLIONTHS: f64 = 1e6;

impl Lower<'_> {
    pub(super) fn integer(&mut self, keywords: &Keywords) -> Result<Value> {
        let (min, max) = self.bounds(keywords, 1.0)?;
        let bound = |bound: Option<i128>| bound.map(i64::try_from).transpose();
        match (bound(min), bound(max)) {
            (Ok(min), Ok(max)) => Ok(bounded("integer", min, max)),
            _ => Err(self.out_of_range(keywords)),
        }
    }

    pub(super) fn number(&mut self, keywords: &Keywords) -> Result<Value> {
        let (min, max) = self.bounds(keywords, MILLIONTHS)?;
        let most = (LARGEST_BOUND * MILLIONTHS) as i128;
        let (min, max) = (min.map(|min| min.max(-most)), max.map(|max| max.min(most)));
        if min.is_some_and(|min| min > most) || max.is_some_and(|max| max < -most) {
            return Err(self.out_of_range(keywords));
        }
        let number = |millionths: i128| millionths as f64 / MILLIONTHS;
        Ok(bounded("number", min.map(number), max.map(number)))
    }

    /// The least and the largest number, in parts of one. They may be closer than the
    /// keywords say, never wider.
    fn bounds(&self, keywords: &Keywords, parts: f64) -> Result<(Option<i128>, Option<i128>)> {
        let at = |keyword| self.bound(keywords, keyword);
        let up = |bound: f64| (bound * parts).ceil() as i128;
        let down = |bound: f64| (bound * parts).floor() as i128;
        let above = at("exclusiveMinimum")?.map(|bound| down(bound).saturating_add(1));
        let below = at("exclusiveMaximum")?.map(|bound| up(bound).saturating_sub(1));
        let min = at("minimum")?.map(up).max(above);
        let max = match (at("maximum")?.map(down), below) {
            (Some(max), Some(below)) => Some(max.min(below)),
            (max, below) => max.or(below),
        };
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            let problem = Problem::Empty("no number is between its bounds");
            return Err(self.fail(problem));
        }
        Ok((min, max))
    }

    fn bound(&self, keywords: &Keywords, keyword: &str) -> Result<Option<f64>> {
        match keywords.get(keyword) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.fail_at(keyword, Problem::NotA("a number"))),
            },
        }
    }

    fn out_of_range(&self, keywords: &Keywords) -> super::SchemaError {
        let names = ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"];
        let keyword = names.into_iter().find(|name| keywords.contains_key(*name));
        let problem = Problem::NotA("a number that is not as large");
        self.fail_at(keyword.unwrap_or("type"), problem)
    }
}

/// Bounds that a schema does not have are left out: xgrammar's mask for 16 digits takes 12 MB,
/// that for any number of them 0.1.
fn bounded<T: Serialize>(kind: &str, min: Option<T>, max: Option<T>) -> Value {
    let mut schema = json!({"type": kind});
    for (name, bound) in [("minimum", min), ("maximum", max)] {
        if let Some(bound) = bound {
            schema[name] = json!(bound);
        }
    }
    schema
}
