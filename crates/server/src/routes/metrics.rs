//! `/metrics`: ours, and the engine's own.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::engine_metrics;

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = app.metrics.text();
    if let Some(address) = app.config.engine_metrics {
        match engine_metrics::fetch(address).await {
            Ok(theirs) => engine_metrics::append(&mut text, &theirs),
            Err(error) => tracing::debug!("the engine's metrics at {address}: {error}"),
        }
    }
    let headers = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (headers, text).into_response()
}
