//! A key as it is written.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::digest::Digest;
use super::error::{KeyFault, LONGEST};

/// A key as it is written. Its memory is cleared when it is dropped, and nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Keys of fewer characters can be guessed.
const SAFE: usize = 16;

impl Secret {
    /// A key of this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The key itself, for whoever sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn is_short(&self) -> bool {
        self.0.len() < SAFE
    }

    /// What is kept of it.
    pub(super) fn digest(&self) -> Result<Digest, KeyFault> {
        if self.0.is_empty() {
            return Err(KeyFault::Empty);
        }
        if self.0.len() > LONGEST {
            return Err(KeyFault::Long);
        }
        // What cannot stand in a header, or parts keys in a list.
        let is_sane = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        if !self.0.bytes().all(is_sane) {
            return Err(KeyFault::Characters);
        }
        Ok(Digest::of(self.0.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// It never fails, so that no error repeats the text.
impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_said_without_it() {
        for (text, fault) in [
            ("", KeyFault::Empty),
            ("two words", KeyFault::Characters),
            ("a,b", KeyFault::Characters),
            ("schlüssel", KeyFault::Characters),
            ("line\n", KeyFault::Characters),
            (&"x".repeat(LONGEST + 1), KeyFault::Long),
        ] {
            assert_eq!(Secret::new(text).digest().err(), Some(fault), "{text:?}");
            assert!(text.is_empty() || !fault.to_string().contains(text));
        }
        assert!(Secret::new("x".repeat(LONGEST)).digest().is_ok());
        assert_eq!(format!("{:?}", Secret::new("s3cret")), "Secret");
    }
}
