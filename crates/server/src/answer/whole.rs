//! An answer in one piece.

use std::future::poll_fn;
use std::task::Poll;

use mxfp4_engine::TokenLogprobs;
use serde::Serialize;

use super::asked::{Asked, Shape};
use super::choices::{Answer, Progress};
use super::finish::FinishReason;
use super::scores::{ChatScores, Score, TextScores};
use super::sink::{Scored, Sink, Sinks};
use super::usage::Usage;
use crate::api_error::ApiError;
use crate::signal::Signal;

/// Waits for all of an answer: the body of a response, as JSON.
pub(crate) async fn collect(mut answer: Answer, ending: &Signal) -> Result<Vec<u8>, ApiError> {
    let mut collected: Vec<Collected> = Vec::new();
    collected.resize_with(answer.len(), Collected::default);
    for (choice, echo) in collected.iter_mut().zip(&answer.asked.echoes) {
        choice.content.push_str(echo);
    }
    gather(&mut answer, &mut collected, ending).await?;
    Ok(write(&answer.asked, &collected, answer.usage()))
}

/// Reads an answer to its end.
pub(crate) async fn gather(
    answer: &mut Answer,
    sinks: &mut impl Sinks,
    ending: &Signal,
) -> Result<(), ApiError> {
    let whole = poll_fn(|context| {
        loop {
            match answer.poll(context, sinks) {
                Poll::Ready(Ok(Progress::Read)) => {}
                Poll::Ready(Ok(Progress::Ended)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(ApiError::from(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    tokio::select! {
        result = whole => result,
        () = ending.given() => Err(ApiError::shutting_down()),
    }
}

/// One choice's parts.
#[derive(Default)]
struct Collected {
    reasoning: String,
    content: String,
    calls: Vec<ToolCall>,
    scores: ChatScores,
    tokens: Vec<u32>,
    finish: Option<FinishReason>,
}

#[derive(Serialize)]
struct ToolCall {
    id: String,
    r#type: &'static str,
    function: Function,
}

#[derive(Serialize)]
struct Function {
    name: String,
    arguments: String,
}

struct Collecting<'a> {
    asked: &'a Asked,
    choice: &'a mut Collected,
}

impl Sinks for Vec<Collected> {
    type Sink<'a> = Collecting<'a>;

    fn of<'a>(&'a mut self, asked: &'a Asked, choice: usize) -> Collecting<'a> {
        Collecting {
            asked,
            choice: &mut self[choice],
        }
    }
}

impl Sink for Collecting<'_> {
    fn token(&mut self, id: u32) {
        if self.asked.token_ids {
            self.choice.tokens.push(id);
        }
    }

    fn reasoning(&mut self, text: &str) {
        self.choice.reasoning.push_str(text);
    }

    fn content(&mut self, text: &str) {
        self.choice.content.push_str(text);
    }

    fn call(&mut self, name: String, arguments: String) {
        self.choice.calls.push(ToolCall {
            id: self.asked.ids.next("call_"),
            r#type: "function",
            function: Function { name, arguments },
        });
    }

    fn score(&mut self, part: Scored, token: &TokenLogprobs, offset: usize) {
        let score = Score::new(&self.asked.vocabulary, token, offset);
        match part {
            Scored::Reasoning => self.choice.scores.reasoning.push(score),
            Scored::Content => self.choice.scores.content.push(score),
        }
    }

    fn finish(&mut self, reason: FinishReason) {
        self.choice.finish = Some(reason);
    }
}

fn write(asked: &Asked, collected: &[Collected], usage: Usage) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<'a, C> {
        id: &'a str,
        object: &'static str,
        created: u64,
        model: &'a str,
        system_fingerprint: &'a str,
        choices: Vec<C>,
        usage: Usage,
    }
    macro_rules! body {
        ($object:literal, $choice:expr) => {
            serde_json::to_vec(&Body {
                id: &asked.id,
                object: $object,
                created: asked.created,
                model: &asked.model,
                system_fingerprint: &asked.fingerprint,
                choices: collected.iter().enumerate().map($choice).collect(),
                usage,
            })
        };
    }
    // Strings, numbers and lists are always JSON.
    match asked.shape {
        Shape::Chat => body!("chat.completion", |choice| chat_choice(asked, choice)),
        Shape::Raw => body!("text_completion", |choice| raw_choice(asked, choice)),
    }
    .unwrap_or_default()
}

#[derive(Serialize)]
struct ChatChoice<'a> {
    index: usize,
    message: Message<'a>,
    logprobs: Option<&'a ChatScores>,
    finish_reason: Option<FinishReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    /// `null` where there are calls alone.
    content: Option<&'a str>,
    refusal: Option<()>,
    reasoning: Option<&'a str>,
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tool_calls: &'a [ToolCall],
}

fn chat_choice<'a>(asked: &Asked, (index, choice): (usize, &'a Collected)) -> ChatChoice<'a> {
    let reasoning = (!choice.reasoning.is_empty()).then_some(&*choice.reasoning);
    let calls_alone = choice.content.is_empty() && !choice.calls.is_empty();
    ChatChoice {
        index,
        message: Message {
            role: "assistant",
            content: (!calls_alone).then_some(&choice.content),
            refusal: None,
            reasoning,
            reasoning_content: reasoning,
            tool_calls: &choice.calls,
        },
        logprobs: asked.scored.then_some(&choice.scores),
        finish_reason: choice.finish,
        token_ids: asked.token_ids.then_some(&*choice.tokens),
    }
}

#[derive(Serialize)]
struct RawChoice<'a> {
    index: usize,
    text: &'a str,
    logprobs: Option<TextScores<'a>>,
    finish_reason: Option<FinishReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
}

fn raw_choice<'a>(asked: &Asked, (index, choice): (usize, &'a Collected)) -> RawChoice<'a> {
    RawChoice {
        index,
        text: &choice.content,
        logprobs: asked
            .scored
            .then(|| TextScores::new(&choice.scores.content)),
        finish_reason: choice.finish,
        token_ids: asked.token_ids.then_some(&*choice.tokens),
    }
}
