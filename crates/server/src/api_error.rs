//! Answers that are errors, in OpenAI's form.

use std::fmt::Display;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mxfp4_engine::EngineError;
use serde::Serialize;

use crate::auth::Refused;

/// An answer that is an error: `{"error": {"message", "type", "param", "code"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: Body,
    /// How far the server is.
    phase: Option<&'static str>,
    /// Seconds.
    retry_after: Option<u32>,
    /// Whether the server is full, whoever asks.
    full: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Body {
    message: String,
    r#type: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

impl ApiError {
    fn new(status: StatusCode, r#type: &'static str, message: String) -> Self {
        Self {
            status,
            body: Body {
                message,
                r#type,
                param: None,
                code: None,
            },
            phase: None,
            retry_after: None,
            full: false,
        }
    }

    /// 400.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, message.into())
    }

    /// 400 that names a field by its path.
    pub(crate) fn field(path: &str, why: impl Display) -> Self {
        Self::invalid(format!("`{path}`: {why}")).with_param(path)
    }

    /// 404 for a model that is not served.
    pub(crate) fn unknown_model(model: &str, served: &[String]) -> Self {
        let message = format!(
            "the model `{}` does not exist; this server has {}",
            excerpt(model),
            list(served)
        );
        Self::new(StatusCode::NOT_FOUND, INVALID, message)
            .with_param("model")
            .with_code("model_not_found")
    }

    /// 404 for a path.
    pub(crate) fn unknown_path(path: &str) -> Self {
        let message = format!("there is no `{}` here", excerpt(path));
        Self::new(StatusCode::NOT_FOUND, INVALID, message).with_code("not_found")
    }

    /// 404 for something that is not kept here.
    pub(crate) fn not_found(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, INVALID, message)
    }

    /// 405.
    pub(crate) fn method(method: &str, path: &str) -> Self {
        let message = format!("`{}` does not take {}", excerpt(path), excerpt(method));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, message).with_code("method_not_allowed")
    }

    /// 408 for a body that comes too slowly.
    pub(crate) fn slow_body() -> Self {
        let message = "the body did not come in time".to_owned();
        Self::new(StatusCode::REQUEST_TIMEOUT, INVALID, message).with_code("request_timeout")
    }

    /// 413.
    pub(crate) fn large_body(most: usize) -> Self {
        let message = format!(
            "the body has more than {most} bytes; MAX_SERVE_MAX_REQUEST_BYTES sets how many it may have"
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, message).with_code("request_too_large")
    }

    /// 431.
    pub(crate) fn many_headers(count: usize, most: usize) -> Self {
        let message = format!("the request has {count} headers, and may have {most}");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        Self::new(status, INVALID, message).with_code("too_many_headers")
    }

    /// 415 for a compressed body.
    pub(crate) fn encoding() -> Self {
        let message =
            "compressed bodies are not read here; send it without content-encoding".to_owned();
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, message)
            .with_code("unsupported_content_encoding")
    }

    /// 401 for a request without a key.
    pub(crate) fn no_key() -> Self {
        Self::unauthorized("this server needs an API key; send it as `Authorization: Bearer KEY`")
    }

    /// 401 for a request with another key than those of the server. It does not say the key.
    pub(crate) fn wrong_key() -> Self {
        Self::unauthorized("the API key is wrong; ask whoever runs this server for one")
    }

    fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, INVALID, message.to_owned())
            .with_code("invalid_api_key")
    }

    /// 429.
    pub(crate) fn queue_full() -> Self {
        let message = "as many requests wait as may; send it again later".to_owned();
        Self {
            full: true,
            ..Self::too_many(message, Some(1))
        }
    }

    /// 429, to be tried again after so many seconds, or not at all.
    fn too_many(message: String, retry_after: Option<u32>) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
            .with_code("rate_limit_exceeded");
        error.retry_after = retry_after;
        error
    }

    /// 500 for what is no client's fault.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            message.into(),
        )
        .with_code("internal_error")
    }

    /// 503, to be tried again after so many seconds.
    pub(crate) fn unavailable(message: impl Into<String>, retry_after: u32) -> Self {
        let mut error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            message.into(),
        )
        .with_code("service_unavailable");
        error.retry_after = Some(retry_after);
        error
    }

    /// 503 for a request that is cut because the server ends.
    pub(crate) fn shutting_down() -> Self {
        Self::unavailable("the server shuts down; send the request again", 5)
    }

    /// Whether it is said while the request's body still comes.
    pub(crate) fn is_early(&self) -> bool {
        let early = [
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        early.contains(&self.status)
    }

    pub(crate) fn with_param(mut self, path: &str) -> Self {
        self.body.param = Some(path.to_owned());
        self
    }

    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        self.body.code = Some(code);
        self
    }

    /// Says beside the error how far the server is, in a word.
    pub(crate) fn with_status(mut self, phase: &'static str) -> Self {
        self.phase = Some(phase);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the server is full, whoever asks.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    pub(crate) fn code(&self) -> Option<&'static str> {
        self.body.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.body.message
    }

    /// The answer's body.
    pub(crate) fn json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Envelope<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            status: Option<&'static str>,
            error: &'a Body,
        }
        let envelope = Envelope {
            status: self.phase,
            error: &self.body,
        };
        serde_json::to_vec(&envelope).unwrap_or_default()
    }
}

const INVALID: &str = "invalid_request_error";

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::QueueFull => Self::queue_full(),
            EngineError::Invalid(why) => Self::invalid(why),
            EngineError::Failed(_) => Self::internal(error.to_string()),
            EngineError::Gone(why) => Self::unavailable(why, 5),
        }
    }
}

/// What a key may not take.
impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let (what, most, wait) = match refused {
            Refused::Requests { most, wait } => ("requests", most, wait),
            Refused::Tokens { most, wait } => ("tokens", most, wait),
            Refused::TooLarge { most, wanted } => {
                let message = format!(
                    "the prompt and what may be answered have {wanted} tokens, and this key may take {most} a minute; \
                     ask for fewer (`max_tokens`)"
                );
                return Self::too_many(message, None);
            }
            Refused::Parallel { most } => {
                let message = format!(
                    "this key has as many requests at once as it may, which is {most}; wait for one to end"
                );
                return Self::too_many(message, Some(1));
            }
        };
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let message = format!(
            "this key has taken its {most} {what} a minute; send the request again in {seconds} s"
        );
        Self::too_many(message, Some(seconds))
    }
}

impl IntoResponse for ApiError {
    /// The error stays beside its body, for interfaces that have another form.
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response =
            (self.status, [(header::CONTENT_TYPE, json)], self.json()).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// What a client wrote, short enough to be sent back.
pub(crate) fn excerpt(text: &str) -> String {
    const MOST: usize = 64;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

fn list(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
