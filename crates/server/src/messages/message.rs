//! An answer as one message.

use mxfp4_engine::TokenLogprobs;
use mxfp4_harmony::Kind;
use serde::Serialize;
use serde_json::value::RawValue;

use super::kept::Keeper;
use super::request::MessagesRequest;
use super::thinking::Shown;
use crate::answer::{Answer, Asked, FinishReason, Scored, Sink, Sinks, Usage, gather};
use crate::api_error::ApiError;
use crate::signal::Signal;

/// What an answer is written with.
pub(crate) struct Head {
    pub(crate) keeper: Keeper,
    shown: Shown,
    is_short: bool,
    /// The request's name.
    pub(super) request_id: String,
}

impl Head {
    pub(crate) fn new(request: &MessagesRequest, keeper: Keeper, request_id: &str) -> Self {
        Self {
            keeper,
            shown: request.shown,
            is_short: request.is_short,
            request_id: request_id.to_owned(),
        }
    }

    /// Whether thinking comes with its text.
    pub(super) fn shows_text(&self) -> bool {
        self.shown == Shown::Whole
    }

    pub(super) fn stop_reason(&self, finish: FinishReason, stop_word: bool) -> &'static str {
        match finish {
            FinishReason::Stop if stop_word => "stop_sequence",
            FinishReason::Stop => "end_turn",
            FinishReason::Length if self.is_short => "model_context_window_exceeded",
            FinishReason::Length => "max_tokens",
            FinishReason::ToolCalls => "tool_use",
        }
    }
}

/// Counts of tokens, as Anthropic's clients get them.
#[derive(Serialize)]
pub(super) struct Counts {
    /// Those that were not in the prefix cache.
    input_tokens: u32,
    cache_creation_input_tokens: u32,
    cache_read_input_tokens: u32,
    output_tokens: u32,
    output_tokens_details: Details,
}

#[derive(Serialize)]
struct Details {
    thinking_tokens: u32,
}

impl Counts {
    pub(super) fn new(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.prompt().saturating_sub(usage.cached()),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: usage.cached(),
            output_tokens: usage.completion(),
            output_tokens_details: Details {
                thinking_tokens: usage.reasoning(),
            },
        }
    }
}

/// A message, or its beginning.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    id: &'a str,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'a str>,
    usage: Counts,
}

impl<'a> Message<'a> {
    /// One that has nothing yet.
    pub(super) fn begin(asked: &'a Asked, usage: &Usage) -> Self {
        Self {
            id: &asked.id,
            r#type: "message",
            role: "assistant",
            model: &asked.model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: Counts::new(usage),
        }
    }
}

/// A block of an answer.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Thinking {
        thinking: &'a str,
        signature: String,
    },
    Text {
        text: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: &'a RawValue,
    },
}

/// Waits for all of an answer: the body of a response, as JSON.
pub(crate) async fn collect(
    mut answer: Answer,
    head: &Head,
    ending: &Signal,
) -> Result<Vec<u8>, ApiError> {
    let mut collected = Collected::default();
    gather(&mut answer, &mut collected, ending).await?;
    let mut message = Message::begin(&answer.asked, &answer.usage());
    message.content = collected
        .parts
        .iter()
        .map(|part| part.block(head))
        .collect();
    message.stop_sequence = collected.stop_word.as_deref();
    let stopped = collected.stop_word.is_some();
    let finish = collected.finish;
    message.stop_reason = finish.map(|finish| head.stop_reason(finish, stopped));
    // Strings, numbers and lists are always JSON.
    Ok(serde_json::to_vec(&message).unwrap_or_default())
}

/// An answer's parts.
#[derive(Default)]
struct Collected {
    parts: Vec<Part>,
    /// Whether thinking that comes begins a block.
    begins: bool,
    stop_word: Option<String>,
    finish: Option<FinishReason>,
}

enum Part {
    Thinking(String),
    Text(String),
    Call {
        id: String,
        name: String,
        input: Box<RawValue>,
    },
}

impl Part {
    fn block(&self, head: &Head) -> Block<'_> {
        match self {
            Self::Thinking(text) => Block::Thinking {
                thinking: if head.shows_text() { text } else { "" },
                signature: head.keeper.sign(text),
            },
            Self::Text(text) => Block::Text { text },
            Self::Call { id, name, input } => Block::ToolUse { id, name, input },
        }
    }
}

struct Collecting<'a> {
    asked: &'a Asked,
    into: &'a mut Collected,
}

impl Sinks for Collected {
    type Sink<'a> = Collecting<'a>;

    fn of<'a>(&'a mut self, asked: &'a Asked, _choice: usize) -> Collecting<'a> {
        Collecting { asked, into: self }
    }
}

impl Sink for Collecting<'_> {
    fn token(&mut self, _id: u32) {}

    fn message(&mut self, kind: Kind) {
        self.into.begins |= kind == Kind::Reasoning;
    }

    fn reasoning(&mut self, text: &str) {
        let begins = std::mem::take(&mut self.into.begins);
        match self.into.parts.last_mut() {
            Some(Part::Thinking(before)) if !begins => before.push_str(text),
            _ => self.into.parts.push(Part::Thinking(text.to_owned())),
        }
    }

    fn content(&mut self, text: &str) {
        match self.into.parts.last_mut() {
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.into.parts.push(Part::Text(text.to_owned())),
        }
    }

    fn call(&mut self, name: String, arguments: String) {
        self.into.parts.push(Part::Call {
            id: self.asked.ids.next("toolu_"),
            name,
            input: RawValue::from_string(arguments).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        });
    }

    fn stop_word(&mut self, word: &str) {
        self.into.stop_word = Some(word.to_owned());
    }

    fn score(&mut self, _part: Scored, _token: &TokenLogprobs, _offset: usize) {}

    fn finish(&mut self, reason: FinishReason) {
        self.into.finish = Some(reason);
    }
}
