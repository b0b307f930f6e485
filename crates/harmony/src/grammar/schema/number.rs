//! Numbers.

use serde_json::{Value, json};

use super::lower::{Lower, Result};
use super::{Keywords, Problem};

/// The integers that every reader of JSON reads exactly. Without a bound a model may write
/// digits for ever.
const LARGEST: i128 = (1 << 53) - 1;

/// The largest number beside a bound, and the digits behind the point that xgrammar writes of
/// such a number.
const LARGEST_BOUND: f64 = 1e15;
const MILLIONTHS: f64 = 1e6;

impl Lower<'_> {
    pub(super) fn integer(&mut self, keywords: &Keywords) -> Result<Value> {
        let (min, max) = self.bounds(keywords, 1.0)?;
        let (min, max) = match (min, max) {
            (None, None) => (-LARGEST, LARGEST),
            (Some(min), None) => (min, LARGEST.max(min)),
            (None, Some(max)) => ((-LARGEST).min(max), max),
            (Some(min), Some(max)) => (min, max),
        };
        let (Ok(min), Ok(max)) = (i64::try_from(min), i64::try_from(max)) else {
            return Err(self.out_of_range(keywords));
        };
        Ok(json!({"type": "integer", "minimum": min, "maximum": max}))
    }

    pub(super) fn number(&mut self, keywords: &Keywords) -> Result<Value> {
        let (min, max) = self.bounds(keywords, MILLIONTHS)?;
        if (min, max) == (None, None) {
            return Ok(json!({"type": "number"}));
        }
        let most = (LARGEST_BOUND * MILLIONTHS) as i128;
        let (min, max) = (
            min.unwrap_or(-most).max(-most),
            max.unwrap_or(most).min(most),
        );
        if min > max {
            return Err(self.out_of_range(keywords));
        }
        let number = |millionths: i128| millionths as f64 / MILLIONTHS;
        Ok(json!({"type": "number", "minimum": number(min), "maximum": number(max)}))
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
