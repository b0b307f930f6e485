//! How large schemas may be.

use super::error::Problem;

/// How deep schemas may stand in each other.
pub(super) const DEEPEST: usize = 32;

/// What the schemas of one request may still have. OpenAI's own limits are 5000 properties and
/// 1000 values.
#[derive(Clone, Debug)]
pub struct Limits {
    schemas: usize,
    properties: usize,
    alternatives: usize,
}

impl Limits {
    const SCHEMAS: usize = 20_000;
    const PROPERTIES: usize = 5000;
    const ALTERNATIVES: usize = 2000;

    pub(super) fn schema(&mut self) -> Result<(), Problem> {
        take(&mut self.schemas, 1, Self::SCHEMAS, "parts")
    }

    pub(super) fn properties(&mut self, count: usize) -> Result<(), Problem> {
        take(&mut self.properties, count, Self::PROPERTIES, "properties")
    }

    /// Values of an enum, or schemas of `anyOf`.
    pub(super) fn alternatives(&mut self, count: usize) -> Result<(), Problem> {
        let most = Self::ALTERNATIVES;
        take(&mut self.alternatives, count, most, "alternatives")
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            schemas: Self::SCHEMAS,
            properties: Self::PROPERTIES,
            alternatives: Self::ALTERNATIVES,
        }
    }
}

fn take(left: &mut usize, count: usize, most: usize, what: &'static str) -> Result<(), Problem> {
    match left.checked_sub(count) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => Err(Problem::Many { most, what }),
    }
}
