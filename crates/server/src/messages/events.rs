//! An answer as Anthropic's events.

use bytes::{BufMut, BytesMut};
use mxfp4_engine::TokenLogprobs;
use mxfp4_harmony::Kind;
use serde::Serialize;

use super::error;
use super::message::{Counts, Head, Message};
use crate::answer::{
    Answer, Asked, FinishReason, Format, Scored, Sink, Sinks, Usage, escape, put_json,
};
use crate::api_error::ApiError;

/// An answer's events. Text of one kind that comes together is one event.
pub(crate) struct MessageEvents {
    head: Head,
    out: BytesMut,
    /// Whether the message has begun.
    begun: bool,
    cached: u32,
    /// The block that is open, and the next one's index.
    open: Option<Open>,
    index: u32,
    /// Text of the open block that waits, escaped.
    text: Vec<u8>,
    /// All of the open block's thinking.
    thinking: String,
    /// Whether thinking that comes begins a block.
    begins: bool,
    stop_word: Option<String>,
    finish: Option<FinishReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Thinking,
    Text,
}

impl MessageEvents {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            head,
            out: BytesMut::new(),
            begun: false,
            cached: 0,
            open: None,
            index: 0,
            text: Vec::new(),
            thinking: String::new(),
            begins: false,
            stop_word: None,
            finish: None,
        }
    }

    /// An event with its data.
    fn put(&mut self, name: &str, data: &impl Serialize) {
        self.head_of(name);
        put_json(&mut self.out, data);
        self.out.put_slice(b"\n\n");
    }

    fn head_of(&mut self, name: &str) {
        self.out.put_slice(b"event: ");
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"\ndata: ");
    }

    fn begin(&mut self, asked: &Asked) {
        #[derive(Serialize)]
        struct Start<'a> {
            r#type: &'static str,
            message: Message<'a>,
        }
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let usage = Usage::new(asked.prompt_tokens, self.cached, 0, Some(0));
        let start = Start {
            r#type: "message_start",
            message: Message::begin(asked, &usage),
        };
        self.put("message_start", &start);
    }

    /// A block begins; `block` is its JSON.
    fn start_block(&mut self, block: &[u8]) {
        self.head_of("content_block_start");
        let head = format!(
            "{{\"type\":\"content_block_start\",\"index\":{},\"content_block\":",
            self.index
        );
        self.out.put_slice(head.as_bytes());
        self.out.put_slice(block);
        self.out.put_slice(b"}\n\n");
    }

    /// More of the block; `text` is escaped.
    fn delta(&mut self, kind: &str, key: &str, text: &[u8]) {
        self.head_of("content_block_delta");
        let head = format!(
            "{{\"type\":\"content_block_delta\",\"index\":{},\"delta\":{{\"type\":\"{kind}\",\"{key}\":\"",
            self.index
        );
        self.out.put_slice(head.as_bytes());
        self.out.put_slice(text);
        self.out.put_slice(b"\"}}\n\n");
    }

    fn stop_block(&mut self) {
        #[derive(Serialize)]
        struct Stop {
            r#type: &'static str,
            index: u32,
        }
        let stop = Stop {
            r#type: "content_block_stop",
            index: self.index,
        };
        self.put("content_block_stop", &stop);
        self.index += 1;
    }

    /// Text goes to a block of its kind.
    fn append(&mut self, kind: Open, text: &str, begins: bool) {
        if self.open != Some(kind) || begins {
            self.close();
            self.open = Some(kind);
            self.start_block(match kind {
                Open::Thinking => br#"{"type":"thinking","thinking":"","signature":""}"#,
                Open::Text => br#"{"type":"text","text":""}"#,
            });
        }
        if kind == Open::Thinking {
            self.thinking.push_str(text);
            if !self.head.shows_text() {
                return;
            }
        }
        escape(&mut self.text, text);
    }

    /// Sends what waits.
    fn flush(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.text);
        match self.open {
            Some(Open::Thinking) => self.delta("thinking_delta", "thinking", &text),
            Some(Open::Text) => self.delta("text_delta", "text", &text),
            None => {}
        }
    }

    /// Ends the block that is open.
    fn close(&mut self) {
        self.flush();
        match self.open.take() {
            None => return,
            Some(Open::Text) => {}
            Some(Open::Thinking) => {
                let thinking = std::mem::take(&mut self.thinking);
                let signature = self.head.keeper.sign(&thinking);
                self.delta("signature_delta", "signature", signature.as_bytes());
            }
        }
        self.stop_block();
    }

    fn call(&mut self, id: &str, name: &str, arguments: &str) {
        #[derive(Serialize)]
        struct ToolUse<'a> {
            r#type: &'static str,
            id: &'a str,
            name: &'a str,
            input: Empty,
        }
        #[derive(Serialize)]
        struct Empty {}
        self.close();
        let block = ToolUse {
            r#type: "tool_use",
            id,
            name,
            input: Empty {},
        };
        self.start_block(&serde_json::to_vec(&block).unwrap_or_default());
        let mut text = Vec::with_capacity(arguments.len() + 16);
        escape(&mut text, arguments);
        self.delta("input_json_delta", "partial_json", &text);
        self.stop_block();
    }
}

impl Format for MessageEvents {
    fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    fn end(&mut self, answer: &Answer) {
        #[derive(Serialize)]
        struct End<'a> {
            r#type: &'static str,
            delta: Delta<'a>,
            usage: Counts,
        }
        #[derive(Serialize)]
        struct Delta<'a> {
            stop_reason: Option<&'static str>,
            stop_sequence: Option<&'a str>,
        }
        self.begin(&answer.asked);
        let stop_word = self.stop_word.take();
        let finish = self.finish;
        let reason = |finish| self.head.stop_reason(finish, stop_word.is_some());
        let end = End {
            r#type: "message_delta",
            delta: Delta {
                stop_reason: finish.map(reason),
                stop_sequence: stop_word.as_deref(),
            },
            usage: Counts::new(&answer.usage()),
        };
        self.put("message_delta", &end);
        self.head_of("message_stop");
        self.out.put_slice(b"{\"type\":\"message_stop\"}\n\n");
    }

    fn fail(&mut self, error: &ApiError) {
        self.head_of("error");
        let json = error::json(error, &self.head.request_id);
        self.out.put_slice(&json);
        self.out.put_slice(b"\n\n");
    }

    fn silence(&mut self) {
        self.head_of("ping");
        self.out.put_slice(b"{\"type\":\"ping\"}\n\n");
    }
}

/// Writes an answer's events. What waits goes out when it is dropped.
pub(crate) struct EventSink<'a> {
    events: &'a mut MessageEvents,
    asked: &'a Asked,
}

impl Drop for EventSink<'_> {
    fn drop(&mut self) {
        self.events.flush();
    }
}

impl Sinks for MessageEvents {
    type Sink<'a> = EventSink<'a>;

    fn of<'a>(&'a mut self, asked: &'a Asked, _choice: usize) -> EventSink<'a> {
        EventSink {
            events: self,
            asked,
        }
    }
}

impl Sink for EventSink<'_> {
    fn token(&mut self, _id: u32) {
        self.events.begin(self.asked);
    }

    fn cached(&mut self, tokens: u32) {
        self.events.cached = tokens;
    }

    fn message(&mut self, kind: Kind) {
        self.events.begins |= kind == Kind::Reasoning;
    }

    fn reasoning(&mut self, text: &str) {
        let begins = std::mem::take(&mut self.events.begins);
        self.events.append(Open::Thinking, text, begins);
    }

    fn content(&mut self, text: &str) {
        self.events.append(Open::Text, text, false);
    }

    fn call(&mut self, name: String, arguments: String) {
        let id = self.asked.ids.next("toolu_");
        self.events.call(&id, &name, &arguments);
    }

    fn stop_word(&mut self, word: &str) {
        self.events.stop_word = Some(word.to_owned());
    }

    fn score(&mut self, _part: Scored, _token: &TokenLogprobs, _offset: usize) {}

    fn finish(&mut self, reason: FinishReason) {
        self.events.begin(self.asked);
        self.events.close();
        self.events.finish = Some(reason);
    }
}
