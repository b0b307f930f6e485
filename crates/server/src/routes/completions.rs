//! `/v1/completions`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;

use super::read::read;
use super::respond::respond;
use crate::answer::{Answer, AnswerText, Asked, Choice, RawReading, Reading, Shape, StopWords};
use crate::api_error::ApiError;
use crate::app::App;
use crate::record::Record;
use crate::request::{CompletionPrompt, CompletionRequest};
use crate::serving::{Serving, seconds};

pub(super) async fn completions(
    State(app): State<Arc<App>>,
    Extension(record): Extension<Arc<Record>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (serving, body) = read(&app, request).await?;
    let request = app.read(&serving, body, CompletionRequest::read).await?;
    let prompt_tokens = request.prompts.iter().map(|prompt| prompt.tokens.len());
    let asked = Asked {
        shape: Shape::Raw,
        id: app.ids.next("cmpl-"),
        created: seconds(),
        model: serving.model().to_owned(),
        fingerprint: serving.fingerprint.clone(),
        scored: request.sampling.request.logprobs.is_some(),
        token_ids: request.sampling.token_ids,
        prompt_tokens: prompt_tokens.sum::<usize>() as u32,
        echoes: echoes(&request, &serving),
        vocabulary: serving.vocabulary.clone(),
        ids: app.ids.clone(),
    };
    let choices = choices(&request, &serving);
    app.admit(&serving, choices.len())?;
    record.reserve(most_tokens(&request))?;
    let answer = Answer::start(asked, choices, serving.engine.clone(), record);
    respond(&app, answer, &request.sampling).await
}

/// Those of the prompts and, where that is bounded, of the answers.
fn most_tokens(request: &CompletionRequest) -> u64 {
    let choices = u64::from(request.sampling.choices);
    let of = |prompt: &CompletionPrompt| {
        let answer = prompt.max_tokens.unwrap_or(0);
        prompt.tokens.len() as u64 + u64::from(answer) * choices
    };
    request.prompts.iter().map(of).sum()
}

/// What each choice's text begins with.
fn echoes(request: &CompletionRequest, serving: &Serving) -> Vec<Arc<str>> {
    if !request.echo {
        return Vec::new();
    }
    let mut echoes = Vec::new();
    for prompt in &request.prompts {
        let text: Arc<str> = serving.vocabulary.decode(&prompt.tokens).into();
        echoes.extend(std::iter::repeat_n(text, request.sampling.choices as usize));
    }
    echoes
}

fn choices(request: &CompletionRequest, serving: &Serving) -> Vec<Choice> {
    let mut choices = Vec::new();
    for prompt in &request.prompts {
        let leader = choices.len();
        let tokens: Arc<[u32]> = prompt.tokens.as_slice().into();
        for index in 0..request.sampling.choices {
            let leader = (index > 0).then_some(leader);
            let (asked, reading) = choice(request, serving, prompt, index);
            choices.push(Choice::new(tokens.clone(), asked, reading, leader));
        }
    }
    choices
}

/// What the engine is asked, but for the prompt, and how its answer is read.
fn choice(
    request: &CompletionRequest,
    serving: &Serving,
    prompt: &CompletionPrompt,
    index: u32,
) -> (mxfp4_engine::Request, Reading) {
    let sampling = &request.sampling;
    let stop = StopWords::new(sampling.stop.clone(), sampling.keep_stop);
    let mut ends = sampling.request.stop_token_ids.clone();
    ends.extend_from_slice(&serving.engine.hello().end_tokens);
    let reading = RawReading::new(
        serving.vocabulary.clone(),
        AnswerText::new(stop, sampling.request.logprobs.is_some(), 0),
        ends,
        request.show_special,
    );
    let asked = mxfp4_engine::Request {
        max_tokens: prompt.max_tokens,
        seed: sampling.seed(index),
        ..sampling.request.clone()
    };
    (asked, Reading::Raw(Box::new(reading)))
}
