//! `/v1/chat/completions`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;

use super::read::read;
use super::respond::respond;
use crate::answer::{
    Answer, AnswerText, Asked, ChatOptions, ChatReading, Choice, Reading, Shape, StopWords,
};
use crate::api_error::ApiError;
use crate::app::App;
use crate::record::Record;
use crate::request::ChatRequest;
use crate::serving::{Serving, seconds};

pub(super) async fn chat(
    State(app): State<Arc<App>>,
    Extension(record): Extension<Arc<Record>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (serving, body) = read(&app, request).await?;
    let request = app.read(&serving, body, ChatRequest::read).await?;
    let asked = Asked {
        shape: Shape::Chat,
        id: app.ids.next("chatcmpl-"),
        created: seconds(),
        model: serving.model().to_owned(),
        fingerprint: serving.fingerprint.clone(),
        scored: request.sampling.request.logprobs.is_some(),
        token_ids: request.sampling.token_ids,
        prompt_tokens: request.prompt.tokens.len() as u32,
        echoes: Vec::new(),
        vocabulary: serving.vocabulary.clone(),
        ids: app.ids.clone(),
    };
    let choices = choices(&request, &serving)?;
    app.admit(&serving, choices.len())?;
    record.reserve(most_tokens(&request))?;
    let answer = Answer::start(asked, choices, serving.engine.clone(), record);
    respond(&app, answer, &request.sampling).await
}

/// Those of the prompt and, where that is bounded, of the answers.
pub(super) fn most_tokens(request: &ChatRequest) -> u64 {
    let sampling = &request.sampling;
    let answer = sampling.request.max_tokens.unwrap_or(0);
    request.prompt.tokens.len() as u64 + u64::from(answer) * u64::from(sampling.choices)
}

pub(super) fn choices(request: &ChatRequest, serving: &Serving) -> Result<Vec<Choice>, ApiError> {
    let harmony = serving
        .harmony
        .as_ref()
        .map_err(|missing| ApiError::invalid(missing.to_string()))?;
    let sampling = &request.sampling;
    let prompt = &request.prompt;
    let opened = &prompt.tokens[prompt.tokens.len() - prompt.opened..];
    let ends = harmony.special().ends();
    let stop_tokens = sampling.request.stop_token_ids.iter().copied();
    let stop_tokens: Vec<u32> = stop_tokens.filter(|id| !ends.contains(id)).collect();
    let shared: Arc<[u32]> = prompt.tokens.as_slice().into();
    let options = ChatOptions {
        reasoning: request.reasoning,
        parallel_calls: request.parallel_calls,
        ignore_eos: sampling.request.ignore_eos,
    };
    let choice = |index| {
        let stop = StopWords::new(sampling.stop.clone(), sampling.keep_stop);
        let reading = ChatReading::new(
            harmony.reader_after(&prompt.offered, opened),
            AnswerText::new(stop, sampling.request.logprobs.is_some(), 0),
            stop_tokens.clone(),
            options,
        );
        let request = mxfp4_engine::Request {
            seed: sampling.seed(index),
            ..sampling.request.clone()
        };
        let leader = (index > 0).then_some(0);
        let reading = Reading::Chat(Box::new(reading));
        Choice::new(shared.clone(), request, reading, leader)
    };
    Ok((0..sampling.choices).map(choice).collect())
}
