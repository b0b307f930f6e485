//! `/v1/responses`, and those that are kept.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;

use super::chat::{choices, most_tokens};
use super::read::read;
use super::respond::{json, stream};
use crate::answer::{Answer, Asked, Shape};
use crate::api_error::{ApiError, excerpt};
use crate::app::App;
use crate::record::Record;
use crate::responses::{Context, Head, InputItems, Page, ResponseEvents, ResponsesRequest};
use crate::serving::seconds;

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(record): Extension<Arc<Record>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (serving, body) = read(&app, request).await?;
    let context = Context::new(&app, &serving, &record);
    // What is kept may be long, whatever the body's length, and on a disk.
    let is_kept = context.has_store();
    let kept = context.clone();
    let read = move |text: &str, reader: &crate::request::Reader<'_>| {
        ResponsesRequest::read(text, reader, &kept)
    };
    let request = match is_kept {
        true => app.read_elsewhere(&serving, body, read).await?,
        false => app.read(&serving, body, read).await?,
    };
    let asked = Asked {
        shape: Shape::Chat,
        id: context.id.clone(),
        created: seconds(),
        model: serving.model().to_owned(),
        fingerprint: serving.fingerprint.clone(),
        scored: request.chat.sampling.request.logprobs.is_some(),
        token_ids: false,
        prompt_tokens: request.chat.prompt.tokens.len() as u32,
        echoes: Vec::new(),
        vocabulary: serving.vocabulary.clone(),
        ids: app.ids.clone(),
    };
    let choices = choices(&request.chat, &serving)?;
    app.admit(&serving, choices.len())?;
    record.reserve(most_tokens(&request.chat))?;
    let ResponsesRequest { chat, about } = request;
    let head = Head::new(about, context);
    let answer = Answer::start(asked, choices, serving.engine.clone(), record);
    match chat.sampling.stream {
        Some(_) => stream(&app, answer, ResponseEvents::new(head), &chat.sampling).await,
        None => Ok(json(
            ResponseEvents::collect(head, answer, &app.ending).await?,
        )),
    }
}

pub(super) async fn retrieve(
    State(app): State<Arc<App>>,
    Extension(record): Extension<Arc<Record>>,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    if query
        .iter()
        .any(|(key, value)| key == "stream" && value == "true")
    {
        return Err(ApiError::field(
            "stream",
            "what is kept is whole, and comes at once; leave it out",
        ));
    }
    let found = look(&app, &record, id.clone(), Context::find).await?;
    let entry = found.ok_or_else(|| missing(&id))?;
    Ok(json(entry.response.clone().into_bytes()))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(record): Extension<Arc<Record>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    if !look(&app, &record, id.clone(), Context::forget).await? {
        return Err(missing(&id));
    }
    let gone = serde_json::json!({"id": id, "object": "response", "deleted": true});
    Ok(json(gone.to_string().into_bytes()))
}

pub(super) async fn input_items(
    State(app): State<Arc<App>>,
    Extension(record): Extension<Arc<Record>>,
    Path(id): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let page = Page::read(&query)?;
    let items = move |context: &Context, id: &str| InputItems::page(context, id, &page);
    let items = look(&app, &record, id.clone(), items).await?;
    Ok(json(items.ok_or_else(|| missing(&id))?))
}

/// Only what is answered in the background could be cancelled.
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(record): Extension<Arc<Record>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = look(&app, &record, id.clone(), Context::find).await?;
    found.ok_or_else(|| missing(&id))?;
    Err(ApiError::invalid(
        "only a response that is made in the background can be cancelled, which this server does not do; \
         close the connection to cancel one that is being made",
    ))
}

/// Looks at what is kept, away from the threads that write answers.
async fn look<T: Send + 'static>(
    app: &Arc<App>,
    record: &Record,
    id: String,
    work: impl FnOnce(&Context, &str) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let serving = app.serving()?;
    let context = Context::new(app, &serving, record);
    let done = tokio::task::spawn_blocking(move || work(&context, &id)).await;
    done.unwrap_or_else(|error| {
        tracing::error!("looking at a response failed: {error}");
        Err(ApiError::internal("looking at the response failed"))
    })
}

fn missing(id: &str) -> ApiError {
    ApiError::not_found(format!(
        "there is no response {:?} here, or not any more",
        excerpt(id)
    ))
    .with_param("response_id")
    .with_code("response_not_found")
}
