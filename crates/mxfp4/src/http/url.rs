//! Addresses of servers.

use std::fmt;
use std::str::FromStr;

use mxfp4_launch::Address;

use crate::exit::{Exit, Failure};

/// The address of a server, without a path of its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Where a client of this machine reaches a server.
    pub fn of(address: &Address) -> Result<Self, Failure> {
        let url = address.url();
        let wrong = |why| Failure::new(Exit::Usage, format!("{url}: {why}"));
        url.parse().map_err(wrong)
    }

    /// The address as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether TLS is spoken there.
    pub fn is_https(&self) -> bool {
        super::is_https(&self.0)
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        let text = text.strip_suffix("/v1").unwrap_or(text);
        let rest = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match rest {
            Some("") | None => Err("write it as in http://127.0.0.1:8000".into()),
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
