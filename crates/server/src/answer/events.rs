//! One choice's events in a stream.
//!
//! What does not change from event to event is written once for each choice. An event
//! costs its text, escaped, and copies.

use std::io::Write;

use bytes::{BufMut, BytesMut};
use mxfp4_engine::TokenLogprobs;
use mxfp4_harmony::Vocabulary;
use serde::Serialize;

use super::asked::Shape;
use super::escape::{escape, quote};
use super::finish::FinishReason;
use super::ids::Ids;
use super::scores::{ChatScores, Score, TextScores};
use super::sink::{Scored, Sink};
use super::usage::Usage;

/// One choice's events. Text of one kind that comes together is one event, which
/// is closed when nothing more waits.
pub(crate) struct Events {
    shape: Shape,
    /// From `data: ` to the choice's index.
    head: Vec<u8>,
    usage: UsageIn,
    /// The kind of text that waits, and the text, escaped.
    open: Option<Scored>,
    text: Vec<u8>,
    scores: Option<ChatScores>,
    /// Ids of tokens that were read and not told yet, where they are wanted.
    ids: Option<Vec<u32>>,
    /// Whether the role was sent.
    begun: bool,
    calls: u32,
    prompt_tokens: u32,
    tokens: u32,
}

/// What chunks say of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageIn {
    /// Nothing.
    None,
    /// `null`, because the last chunk of all has it.
    Last,
    /// This choice's, in every chunk.
    Every,
}

impl Events {
    /// `envelope` is a chunk's beginning up to its `choices`, without the brace before.
    pub(crate) fn new(
        shape: Shape,
        envelope: &str,
        index: usize,
        usage: UsageIn,
        prompt_tokens: u32,
        scored: bool,
        token_ids: bool,
    ) -> Self {
        Self {
            shape,
            head: format!("data: {{{envelope},\"choices\":[{{\"index\":{index},").into_bytes(),
            usage,
            open: None,
            text: Vec::new(),
            scores: scored.then(ChatScores::default),
            ids: token_ids.then(Vec::new),
            begun: false,
            calls: 0,
            prompt_tokens,
            tokens: 0,
        }
    }
}

/// Writes a choice's events. What is open is closed when it is dropped.
pub(crate) struct EventSink<'a> {
    pub(crate) events: &'a mut Events,
    pub(crate) out: &'a mut BytesMut,
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) ids: &'a Ids,
}

impl Drop for EventSink<'_> {
    fn drop(&mut self) {
        self.close();
    }
}

impl EventSink<'_> {
    /// Ends the event that is open.
    fn close(&mut self) {
        let Some(kind) = self.events.open.take() else {
            return;
        };
        self.out.put_slice(&self.events.head);
        let text = &self.events.text;
        match (self.events.shape, kind) {
            (Shape::Raw, _) => {
                self.out.put_slice(b"\"text\":\"");
                self.out.put_slice(text);
                self.out.put_slice(b"\"");
            }
            (Shape::Chat, Scored::Content) => {
                self.out.put_slice(b"\"delta\":{\"content\":\"");
                self.out.put_slice(text);
                self.out.put_slice(b"\"}");
            }
            (Shape::Chat, Scored::Reasoning) => {
                self.out.put_slice(b"\"delta\":{\"reasoning\":\"");
                self.out.put_slice(text);
                self.out.put_slice(b"\",\"reasoning_content\":\"");
                self.out.put_slice(text);
                self.out.put_slice(b"\"}");
            }
        }
        self.events.text.clear();
        self.tail(None);
    }

    /// Text to put in front of the answer, as `echo` wants it.
    pub(crate) fn echo(&mut self, text: &str) {
        self.append(Scored::Content, text);
    }

    fn append(&mut self, kind: Scored, text: &str) {
        if self.events.open != Some(kind) {
            self.close();
            self.begin();
            self.events.open = Some(kind);
        }
        escape(&mut self.events.text, text);
    }

    /// The role, before anything else of a chat.
    fn begin(&mut self) {
        if self.events.begun || self.events.shape == Shape::Raw {
            return;
        }
        self.events.begun = true;
        self.out.put_slice(&self.events.head);
        self.out
            .put_slice(b"\"delta\":{\"role\":\"assistant\",\"content\":\"\"}");
        self.out
            .put_slice(b",\"logprobs\":null,\"finish_reason\":null}]");
        self.put_usage();
        self.out.put_slice(b"}\n\n");
    }

    /// From behind the text to the event's end.
    fn tail(&mut self, finish: Option<FinishReason>) {
        self.out.put_slice(b",\"logprobs\":");
        self.put_scores();
        self.out.put_slice(b",\"finish_reason\":");
        match finish {
            None => self.out.put_slice(b"null"),
            Some(reason) => {
                self.out.put_u8(b'"');
                self.out.put_slice(reason.as_str().as_bytes());
                self.out.put_u8(b'"');
            }
        }
        if let Some(ids) = &mut self.events.ids {
            self.out.put_slice(b",\"token_ids\":");
            put_json(self.out, ids);
            ids.clear();
        }
        self.out.put_slice(b"}]");
        self.put_usage();
        self.out.put_slice(b"}\n\n");
    }

    fn put_scores(&mut self) {
        match &mut self.events.scores {
            Some(scores) if !scores.is_empty() => {
                match self.events.shape {
                    Shape::Chat => put_json(self.out, scores),
                    Shape::Raw => put_json(self.out, &TextScores::new(&scores.content)),
                }
                scores.clear();
            }
            _ => self.out.put_slice(b"null"),
        }
    }

    fn put_usage(&mut self) {
        match self.events.usage {
            UsageIn::None => {}
            UsageIn::Last => self.out.put_slice(b",\"usage\":null"),
            UsageIn::Every => {
                self.out.put_slice(b",\"usage\":");
                let usage = Usage::new(self.events.prompt_tokens, 0, self.events.tokens, None);
                put_json(self.out, &usage);
            }
        }
    }
}

/// What is written is made of strings and numbers, which are always JSON.
pub(crate) fn put_json(out: &mut BytesMut, value: &impl Serialize) {
    let mut writer = out.writer();
    let _ = serde_json::to_writer(&mut writer, value);
}

impl Sink for EventSink<'_> {
    fn token(&mut self, id: u32) {
        self.events.tokens += 1;
        if let Some(ids) = &mut self.events.ids {
            ids.push(id);
        }
    }

    fn reasoning(&mut self, text: &str) {
        self.append(Scored::Reasoning, text);
    }

    fn content(&mut self, text: &str) {
        self.append(Scored::Content, text);
    }

    fn call(&mut self, name: String, arguments: String) {
        self.close();
        self.begin();
        let mut call = Vec::with_capacity(arguments.len() + 128);
        // Writing to a vector does not fail.
        let _ = write!(
            call,
            "\"delta\":{{\"tool_calls\":[{{\"index\":{},\"id\":\"{}\",\"type\":\"function\",\"function\":{{\"name\":",
            self.events.calls,
            self.ids.next("call_")
        );
        quote(&mut call, &name);
        call.extend_from_slice(b",\"arguments\":");
        quote(&mut call, &arguments);
        call.extend_from_slice(b"}}]}");
        self.events.calls += 1;
        self.out.put_slice(&self.events.head);
        self.out.put_slice(&call);
        self.tail(None);
    }

    fn score(&mut self, part: Scored, token: &TokenLogprobs, offset: usize) {
        if let Some(scores) = &mut self.events.scores {
            let score = Score::new(self.vocabulary, token, offset);
            match part {
                Scored::Reasoning => scores.reasoning.push(score),
                Scored::Content => scores.content.push(score),
            }
        }
    }

    fn finish(&mut self, reason: FinishReason) {
        self.close();
        self.begin();
        self.out.put_slice(&self.events.head);
        self.out.put_slice(match self.events.shape {
            Shape::Chat => b"\"delta\":{}",
            Shape::Raw => b"\"text\":\"\"",
        });
        self.tail(Some(reason));
    }
}
