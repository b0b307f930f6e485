//! `/tokenize` and `/detokenize`, in vLLM's form.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;

use super::read::read;
use super::respond::json;
use crate::api_error::ApiError;
use crate::app::App;
use crate::request::{DetokenizeRequest, TokenizeRequest};

pub(super) async fn tokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Tokenized {
        count: usize,
        max_model_len: u32,
        tokens: Vec<u32>,
        token_strs: Option<Vec<String>>,
    }
    let (serving, body) = read(&app, request).await?;
    let TokenizeRequest { tokens, texts } = app.read(&serving, body, TokenizeRequest::read).await?;
    let text = |id: &u32| String::from_utf8_lossy(serving.vocabulary.bytes(*id)).into_owned();
    let tokenized = Tokenized {
        count: tokens.len(),
        max_model_len: serving.engine.hello().max_length,
        token_strs: texts.then(|| tokens.iter().map(text).collect()),
        tokens,
    };
    Ok(json(serde_json::to_vec(&tokenized).unwrap_or_default()))
}

pub(super) async fn detokenize(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Detokenized {
        prompt: String,
    }
    let (serving, body) = read(&app, request).await?;
    let DetokenizeRequest { tokens } = app.read(&serving, body, DetokenizeRequest::read).await?;
    let detokenized = Detokenized {
        prompt: serving.vocabulary.decode(&tokens),
    };
    Ok(json(serde_json::to_vec(&detokenized).unwrap_or_default()))
}
