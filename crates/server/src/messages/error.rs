//! Anthropic's errors: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::api_error::ApiError;

/// The header by which Anthropic's clients name a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The header that they all send.
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The code of an error by which clients know that conversations are not kept here.
pub(super) const THREADS: &str = "thread_unsupported_request";
/// The status of a server that is full. It has no name in the standards.
const OVERLOADED: u16 = 529;

/// Whether a request is in Anthropic's interface.
pub(crate) fn are_spoken<B>(request: &Request<B>) -> bool {
    let rest = request.uri().path().strip_prefix("/v1/messages");
    let is_path = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_path || request.headers().contains_key(VERSION)
}

/// Makes a response one that Anthropic's clients read: with their name for the request, and
/// with their form of an error.
pub(crate) fn address(response: &mut Response, id: &HeaderValue, is_head: bool) {
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        *response.status_mut() = status(&error);
        if !is_head {
            let id = id.to_str().unwrap_or_default();
            *response.body_mut() = Body::from(json(&error, id));
            // It is the other form's.
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
    }
    response.headers_mut().insert(REQUEST_ID, id.clone());
}

fn status(error: &ApiError) -> StatusCode {
    match StatusCode::from_u16(OVERLOADED) {
        Ok(overloaded) if error.is_full() => overloaded,
        _ => error.status(),
    }
}

/// An error's body, or an event's.
pub(super) fn json(error: &ApiError, request_id: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Envelope<'a> {
        r#type: &'static str,
        error: Error<'a>,
        request_id: &'a str,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        r#type: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<Details>,
    }
    #[derive(Serialize)]
    struct Details {
        error_code: &'static str,
    }
    // Of our codes this is the one that is Anthropic's, too.
    let code = error.code().filter(|code| *code == THREADS);
    let envelope = Envelope {
        r#type: "error",
        error: Error {
            r#type: kind(error),
            message: error.message(),
            details: code.map(|error_code| Details { error_code }),
        },
        request_id,
    };
    serde_json::to_vec(&envelope).unwrap_or_default()
}

fn kind(error: &ApiError) -> &'static str {
    match error.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::REQUEST_TIMEOUT => "timeout_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        _ if error.is_full() => "overloaded_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "api_error",
    }
}
