//! From an answer to a response.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::answer::{Answer, Chunks, EventStream, Format, collect};
use crate::api_error::ApiError;
use crate::app::App;
use crate::request::Sampling;

/// How long a stream's head waits for its first event.
const PATIENCE: Duration = Duration::from_secs(1);

/// In events, or whole.
pub(super) async fn respond(
    app: &Arc<App>,
    answer: Answer,
    sampling: &Sampling,
) -> Result<Response, ApiError> {
    let Some(streaming) = sampling.stream else {
        return Ok(json(collect(answer, &app.ending).await?));
    };
    let chunks = Chunks::new(&answer, streaming);
    stream(app, answer, chunks, sampling).await
}

/// In events of a format.
pub(super) async fn stream<F: Format + Send + Unpin + 'static>(
    app: &Arc<App>,
    answer: Answer,
    format: F,
    sampling: &Sampling,
) -> Result<Response, ApiError> {
    let quiet = app.config.limits.quiet_time;
    // What is wrong with a grammar is known when the engine has compiled it, and has to be the
    // answer's status.
    let constrained = sampling.request.grammar.is_some();
    let patience = (!constrained).then_some(PATIENCE);
    let stream = EventStream::new(answer, format, &app.ending, quiet)
        .begin(patience)
        .await?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        // Nginx would keep events until it has a bufferful.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(stream)).into_response())
}

/// A body that is JSON already.
pub(super) fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
