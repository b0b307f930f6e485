//! What is kept of a key: its hash.

use sha2::Digest as _;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// A key's SHA-256.
#[derive(Clone, Copy)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }
}

/// It takes the same time wherever the first difference is.
impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}
