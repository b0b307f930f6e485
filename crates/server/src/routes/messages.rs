//! `/v1/messages` and `/v1/messages/count_tokens`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;

use super::chat::{choices, most_tokens};
use super::read::read;
use super::respond::{json, stream};
use crate::answer::{Answer, Asked, Shape};
use crate::api_error::ApiError;
use crate::app::App;
use crate::messages::{CountRequest, Head, Keeper, MessageEvents, MessagesRequest, collect};
use crate::record::Record;
use crate::serving::seconds;

pub(super) async fn messages(
    State(app): State<Arc<App>>,
    Extension(record): Extension<Arc<Record>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (serving, body) = read(&app, request).await?;
    let keeper = Keeper::new(&app.seal, &serving, &record);
    let kept = keeper.clone();
    let request = app.read(&serving, body, move |text, reader| {
        MessagesRequest::read(text, reader, &kept)
    });
    let request = request.await?;
    let asked = Asked {
        shape: Shape::Chat,
        id: app.ids.next("msg_"),
        created: seconds(),
        model: serving.model().to_owned(),
        fingerprint: serving.fingerprint.clone(),
        scored: false,
        token_ids: false,
        prompt_tokens: request.chat.prompt.tokens.len() as u32,
        echoes: Vec::new(),
        vocabulary: serving.vocabulary.clone(),
        ids: app.ids.clone(),
    };
    let choices = choices(&request.chat, &serving)?;
    app.admit(&serving, choices.len())?;
    record.reserve(most_tokens(&request.chat))?;
    let head = Head::new(&request, keeper, record.id().to_str().unwrap_or_default());
    let sampling = &request.chat.sampling;
    let answer = Answer::start(asked, choices, serving.engine.clone(), record);
    match sampling.stream {
        Some(_) => stream(&app, answer, MessageEvents::new(head), sampling).await,
        None => Ok(json(collect(answer, &head, &app.ending).await?)),
    }
}

pub(super) async fn count_tokens(
    State(app): State<Arc<App>>,
    Extension(record): Extension<Arc<Record>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (serving, body) = read(&app, request).await?;
    let keeper = Keeper::new(&app.seal, &serving, &record);
    let counted = app.read(&serving, body, move |text, reader| {
        CountRequest::read(text, reader, &keeper)
    });
    let CountRequest { tokens } = counted.await?;
    Ok(json(format!("{{\"input_tokens\":{tokens}}}").into_bytes()))
}
