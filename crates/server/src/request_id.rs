//! `x-request-id`: a client's, or one of ours.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::answer::Ids;

/// The header that names a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest name that is taken from a client.
const LONGEST: usize = 128;

/// The client's name of a request, if it can stand in a log, or a new one.
pub(crate) fn request_id(headers: &HeaderMap, ids: &Ids) -> HeaderValue {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    match headers.get(REQUEST_ID) {
        Some(id) if (1..=LONGEST).contains(&id.len()) && id.as_bytes().iter().all(sane) => {
            id.clone()
        }
        _ => HeaderValue::try_from(ids.next("req-")).unwrap_or(HeaderValue::from_static("req")),
    }
}
