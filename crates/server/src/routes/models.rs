//! `/v1/models` and `/v1/models/{id}`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde::Serialize;

use super::respond::json;
use crate::api_error::ApiError;
use crate::app::App;
use crate::messages;
use crate::serving::Serving;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// What the model is, whatever it is called.
    root: &'a str,
    parent: Option<()>,
    max_model_len: u32,
}

/// In Anthropic's form for its clients, which all send the header.
pub(super) async fn models(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let serving = app.serving()?;
    if messages::are_spoken(&request) {
        return Ok(json(messages::list(&serving)));
    }
    let list = List {
        object: "list",
        data: serving
            .models
            .iter()
            .map(|id| about(id, &serving))
            .collect(),
    };
    Ok(json(serde_json::to_vec(&list).unwrap_or_default()))
}

/// A model's name may have slashes.
pub(super) async fn model(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let serving = app.serving()?;
    if !serving.models.contains(&id) {
        return Err(ApiError::unknown_model(&id, &serving.models));
    }
    if messages::are_spoken(&request) {
        return Ok(json(messages::model(&id, &serving)));
    }
    let model = about(&id, &serving);
    Ok(json(serde_json::to_vec(&model).unwrap_or_default()))
}

fn about<'a>(id: &'a str, serving: &'a Serving) -> Model<'a> {
    let hello = serving.engine.hello();
    Model {
        id,
        object: "model",
        created: serving.since,
        owned_by: "mxfp4",
        root: &hello.model,
        parent: None,
        max_model_len: hello.max_length,
    }
}
