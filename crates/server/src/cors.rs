//! Which pages of other sites may ask, by a browser.

use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::auth::rate_header_names;
use crate::messages;
use crate::request_id::REQUEST_ID;

/// Whose pages may ask: an origin as `https://example.com`, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// It is no origin.
#[derive(Debug, thiserror::Error)]
#[error(
    "write the scheme, the host and the port, as in https://example.com or http://localhost:3000, or * for all"
)]
pub struct NoOrigin;

/// How long a browser may remember what it may ask.
const REMEMBERED: Duration = Duration::from_secs(600);

impl FromStr for Origin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        let value = || HeaderValue::from_str(text).map_err(|_| NoOrigin);
        if text == "*" {
            return Ok(Self(value()?));
        }
        let uri: Uri = text.parse().map_err(|_| NoOrigin)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(NoOrigin);
        };
        // A browser sends it so, and compares it byte by byte.
        let written = format!("{scheme}://{authority}").to_ascii_lowercase();
        if written != text || text.contains(['*', '@']) {
            return Err(NoOrigin);
        }
        Ok(Self(value()?))
    }
}

/// Answers browsers for pages of these origins. What a browser asks before it sends a key
/// needs none.
pub(crate) fn layer(origins: &[Origin]) -> CorsLayer {
    let is_all = origins.iter().any(|Origin(origin)| origin == "*");
    let origins = match is_all {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().map(|Origin(origin)| origin.clone())),
    };
    let mut shown: Vec<HeaderName> = rate_header_names().into();
    shown.extend([REQUEST_ID, messages::REQUEST_ID, header::RETRY_AFTER]);
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        // Clients have headers of their own.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(shown)
        .max_age(REMEMBERED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for text in [
            "*",
            "https://example.com",
            "http://localhost:3000",
            "http://[::1]:8080",
        ] {
            assert!(text.parse::<Origin>().is_ok(), "{text}");
        }
        for text in [
            "",
            "example.com",
            "https://example.com/",
            "https://example.com/path",
            "https://Example.com",
            "https://*.example.com",
            "https://user@example.com",
            "https://example.com\n",
            "null",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
