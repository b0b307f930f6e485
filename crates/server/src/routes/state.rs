//! `/health`, `/live` and `/version`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::respond::json;
use crate::api_error::ApiError;
use crate::app::App;

/// Whether requests are answered.
pub(super) async fn health(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let (status, serves) = app.health();
    serves.map_err(|error| error.with_status(status))?;
    Ok(json(br#"{"status":"ready"}"#.to_vec()))
}

/// Whether the process answers at all.
pub(super) async fn live() -> Response {
    json(br#"{"status":"live"}"#.to_vec())
}

/// The versions of this program, and of MAX when it is there.
pub(super) async fn version(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct Version<'a> {
        version: &'static str,
        max: Option<&'a str>,
    }
    let serving = app.serving().ok();
    let version = Version {
        version: crate::version::VERSION,
        max: serving
            .as_ref()
            .map(|serving| &*serving.engine.hello().max_version),
    };
    json(serde_json::to_vec(&version).unwrap_or_default())
}
