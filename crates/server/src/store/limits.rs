//! Bounds of a store.

use std::time::Duration;

/// What a store may hold. Beyond it, what was not used for the longest time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Responses.
    pub responses: usize,
    /// Bytes of all responses and their inputs together.
    pub bytes: usize,
    /// How long a response is kept after its last use.
    pub age: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            responses: 10_000,
            bytes: 256 << 20,
            age: Duration::from_secs(30 * 24 * 3600),
        }
    }
}
