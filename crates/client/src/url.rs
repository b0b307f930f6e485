//! Addresses of servers.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The address of a server, without a path of its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

/// What is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write it as in http://127.0.0.1:8000")]
pub struct NoUrl;

impl Url {
    /// Reads the address `url`, which this program has made.
    pub fn read(url: &str) -> Result<Self, Error> {
        url.parse().map_err(|why: NoUrl| Error::Address {
            url: url.to_owned(),
            why: why.to_string(),
        })
    }

    /// The address as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether TLS is spoken there.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl FromStr for Url {
    type Err = NoUrl;

    fn from_str(text: &str) -> Result<Self, NoUrl> {
        let text = text.trim_end_matches('/');
        let text = text.strip_suffix("/v1").unwrap_or(text);
        let rest = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match rest {
            Some("") | None => Err(NoUrl),
            Some(_) => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_that_of_the_interface() {
        for (text, expected) in [
            ("http://h:1/v1/", Some("http://h:1")),
            ("https://h/v1", Some("https://h")),
            ("http://h/a", Some("http://h/a")),
            ("h:1", None),
            ("http://", None),
            ("ftp://h", None),
        ] {
            let url: Result<Url, _> = text.parse();
            assert_eq!(url.ok().as_ref().map(Url::as_str), expected, "{text}");
        }
    }
}
