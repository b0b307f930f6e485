//! What one key may take.

use std::num::NonZeroU32;

/// What one key may take; `None` is as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests a minute.
    pub requests: Option<NonZeroU32>,
    /// Tokens a minute, of prompts and answers.
    pub tokens: Option<NonZeroU32>,
    /// Requests at once.
    pub parallel: Option<NonZeroU32>,
}

impl KeyLimits {
    /// Reads `requests-per-minute=60` and the like into it, each at most once.
    pub(super) fn read<'t>(words: impl Iterator<Item = &'t str>) -> Option<Self> {
        let mut limits = Self::default();
        for word in words {
            let (name, number) = word.split_once('=')?;
            let place = match name {
                "requests-per-minute" => &mut limits.requests,
                "tokens-per-minute" => &mut limits.tokens,
                "parallel-requests" => &mut limits.parallel,
                _ => return None,
            };
            if place.replace(number.parse().ok()?).is_some() {
                return None;
            }
        }
        Some(limits)
    }

    /// These, and where they say nothing, `others`.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            requests: self.requests.or(others.requests),
            tokens: self.tokens.or(others.tokens),
            parallel: self.parallel.or(others.parallel),
        }
    }
}
