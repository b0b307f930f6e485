//! The page at `/`: what is served, how it does, and a chat. It is one file, which asks this server alone for anything.

use std::fmt::Display;
use std::sync::LazyLock;

use axum::Extension;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::auth::MayEnter;

/// Where style and script stand in the document.
const STYLE_PLACE: &str = "/* style.css */";
const SCRIPT_PLACE: &str = "/* script */";

const DOCUMENT: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/style.css");

/// One module for the browser. `main.js` begins, so all else is declared before it.
const SCRIPT: &str = concat!(
    include_str!("page/dom.js"),
    include_str!("page/inline.js"),
    include_str!("page/blocks.js"),
    include_str!("page/growing.js"),
    include_str!("page/api.js"),
    include_str!("page/events.js"),
    include_str!("page/metrics.js"),
    include_str!("page/spark.js"),
    include_str!("page/numbers.js"),
    include_str!("page/announce.js"),
    include_str!("page/curl.js"),
    include_str!("page/message.js"),
    include_str!("page/chat.js"),
    include_str!("page/sign_in.js"),
    include_str!("page/watch.js"),
    include_str!("page/main.js"),
);

static PAGE: LazyLock<Page> = LazyLock::new(Page::new);

struct Page {
    html: Bytes,
    etag: HeaderValue,
    policy: HeaderValue,
}

impl Page {
    fn new() -> Self {
        let html = DOCUMENT
            .replacen(STYLE_PLACE, STYLE, 1)
            .replacen(SCRIPT_PLACE, SCRIPT, 1);
        let etag = format!("\"{}\"", hash(&html));
        Self {
            etag: value(etag),
            policy: value(policy()),
            html: html.into(),
        }
    }
}

/// What the browser lets the page do: its own style and script, requests to where it came from, and no text made markup.
fn policy() -> String {
    let (script, style) = (hash(SCRIPT), hash(STYLE));
    format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

fn value(text: impl Display) -> HeaderValue {
    HeaderValue::from_str(&text.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// The page. Without a key that is needed it is 401 with the same bytes, which then ask for the key; nothing in them is of
/// this server.
pub(crate) async fn page(may_enter: Option<Extension<MayEnter>>, asked: HeaderMap) -> Response {
    if may_enter.is_some_and(|Extension(MayEnter(may))| !may) {
        let challenge = [
            (header::WWW_AUTHENTICATE, "Bearer"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        return (StatusCode::UNAUTHORIZED, challenge, document()).into_response();
    }
    let etag = &PAGE.etag;
    let cached = [
        (header::ETAG, etag.clone()),
        // It may be another page after the next start.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if has(&asked, etag) {
        return (StatusCode::NOT_MODIFIED, cached).into_response();
    }
    (cached, document()).into_response()
}

fn document() -> Response {
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    let policy = [(header::CONTENT_SECURITY_POLICY, PAGE.policy.clone())];
    (fixed, policy, PAGE.html.clone()).into_response()
}

/// Whether the browser has this page already (RFC 9110, 13.1.2).
fn has(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let Ok(etag) = etag.to_str() else {
        return false;
    };
    asked
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|each| each.trim())
        .any(|each| each == "*" || each.strip_prefix("W/").unwrap_or(each) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_stand_in_the_document_once_and_end_nothing() {
        for (place, part) in [(STYLE_PLACE, STYLE), (SCRIPT_PLACE, SCRIPT)] {
            assert_eq!(DOCUMENT.matches(place).count(), 1, "{place}");
            for end in ["</script", "</style", "<!--", "<script"] {
                assert!(!part.contains(end), "{end}");
            }
        }
    }

    #[test]
    fn nothing_in_it_turns_text_into_markup() {
        let ways = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "DOMParser",
            "setHTML",
            "srcdoc",
        ];
        for way in ways {
            assert!(!SCRIPT.contains(way), "{way}");
        }
    }

    #[tokio::test]
    async fn without_a_key_it_is_the_same_page() {
        let page_of = async |needs_key| page(needs_key, HeaderMap::new()).await;
        let refused = page_of(Some(Extension(MayEnter(false)))).await;
        let headers = refused.headers();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert!(!headers.contains_key(header::ETAG));
        let open = page_of(None).await;
        assert_eq!(open.status(), StatusCode::OK);
        let policy = header::CONTENT_SECURITY_POLICY;
        assert_eq!(open.headers()[&policy], headers[&policy]);
        let bytes = async |response: Response| {
            axum::body::to_bytes(response.into_body(), usize::MAX)
                .await
                .unwrap()
        };
        assert_eq!(bytes(open).await, bytes(refused).await);
    }

    #[tokio::test]
    async fn a_browser_that_has_it_gets_it_no_second_time() {
        for (has, status) in [
            ("\"x\", W/ETAG", StatusCode::NOT_MODIFIED),
            ("ETAG", StatusCode::NOT_MODIFIED),
            ("*", StatusCode::NOT_MODIFIED),
            ("\"x\"", StatusCode::OK),
        ] {
            let mut asked = HeaderMap::new();
            let etag = PAGE.etag.to_str().unwrap();
            asked.insert(header::IF_NONE_MATCH, value(has.replace("ETAG", etag)));
            let response = page(None, asked.clone()).await;
            assert_eq!(response.status(), status, "{has}");
            assert_eq!(response.headers()[header::ETAG], etag);
            // Never where a key is needed: that would show a page that is signed in.
            let refused = page(Some(Extension(MayEnter(false))), asked).await;
            assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        }
    }
}
