//! A response as it is made: its items, and the events of a stream.

use bytes::BytesMut;
use mxfp4_engine::TokenLogprobs;
use mxfp4_harmony::{Kind, Vocabulary};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::item::{OutputItem, Status};
use super::response::{Head, State};
use super::text::Text;
use super::writer::{Place, Writer};
use crate::answer::{Answer, Asked, FinishReason, Format, Ids, Score, Scored, Sink, Sinks, gather};
use crate::api_error::ApiError;
use crate::signal::Signal;

/// A response as it is made. Text of one item that comes together is one event.
pub(crate) struct ResponseEvents {
    head: Head,
    /// Where a response in one piece has no events.
    writer: Option<Writer>,
    begun: bool,
    output: Vec<OutputItem>,
    open: Option<Text>,
    finish: Option<FinishReason>,
    /// Nothing is written there.
    nothing: BytesMut,
}

impl ResponseEvents {
    /// For a stream.
    pub(crate) fn new(head: Head) -> Self {
        Self {
            writer: Some(Writer::new()),
            ..Self::silent(head)
        }
    }

    fn silent(head: Head) -> Self {
        Self {
            head,
            writer: None,
            begun: false,
            output: Vec::new(),
            open: None,
            finish: None,
            nothing: BytesMut::new(),
        }
    }

    /// Waits for all of a response: its JSON.
    pub(crate) async fn collect(
        head: Head,
        mut answer: Answer,
        ending: &Signal,
    ) -> Result<Vec<u8>, ApiError> {
        let mut events = Self::silent(head);
        gather(&mut answer, &mut events, ending).await?;
        let (_, response) = events.whole(&answer);
        Ok(response.get().as_bytes().to_vec())
    }

    /// What stands before all items.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        if let Some(writer) = &mut self.writer {
            let response = self.head.json(State {
                status: Status::InProgress,
                output: &[],
                usage: None,
                error: None,
            });
            writer.response("response.created", &response);
            writer.response("response.in_progress", &response);
        }
    }

    /// An item with text begins.
    fn open(&mut self, kind: Kind) {
        self.begin();
        self.close(Status::Completed);
        let index = self.output.len();
        let text = Text::new(kind, self.head.item_id(Text::prefix(kind), index));
        if let Some(writer) = &mut self.writer {
            let item = text.item(Status::InProgress, None);
            writer.item("response.output_item.added", index, &item);
            let part = members(json!({"content_index": 0, "part": text.part()}));
            let item = &text.id;
            writer.text("response.content_part.added", Place { item, index }, part);
        }
        self.open = Some(text);
    }

    fn push(&mut self, reasoning: bool, text: &str) {
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.is_reasoning() != reasoning)
        {
            self.open(if reasoning {
                Kind::Reasoning
            } else {
                Kind::Final
            });
        }
        if let Some(open) = &mut self.open {
            open.text.push_str(text);
        }
    }

    /// Tells the text that has come since.
    fn flush(&mut self) {
        let (Some(open), Some(writer)) = (&mut self.open, &mut self.writer) else {
            return;
        };
        let (item, index) = (open.id.clone(), self.output.len());
        let (kind, _) = open.events();
        let is_reasoning = open.is_reasoning();
        if let Some((text, scores)) = open.news() {
            let scores = (!is_reasoning).then_some(scores);
            writer.delta(kind, Place { item: &item, index }, text, scores);
        }
    }

    /// The open item has ended.
    fn close(&mut self, status: Status) {
        self.flush();
        let Some(open) = self.open.take() else {
            return;
        };
        if let Some(writer) = &mut self.writer {
            let (item, index) = (&open.id, self.output.len());
            let place = Place { item, index };
            let mut whole = members(json!({"content_index": 0, "text": open.text}));
            if !open.is_reasoning() {
                whole.insert("logprobs".to_owned(), json!(open.scores));
            }
            writer.text(open.events().1, place, whole);
            let part = members(json!({"content_index": 0, "part": open.part()}));
            writer.text("response.content_part.done", place, part);
        }
        let seals = open.is_reasoning() && self.head.seals;
        let sealed = seals.then(|| self.head.context.seal(&open.text));
        self.done(open.item(status, sealed));
    }

    /// An item is whole.
    fn done(&mut self, item: OutputItem) {
        if let Some(writer) = &mut self.writer {
            writer.item("response.output_item.done", self.output.len(), &item);
        }
        self.output.push(item);
    }

    /// A call, which comes whole.
    fn call(&mut self, call_id: String, function: &str, arguments: String) {
        self.begin();
        self.close(Status::Completed);
        let index = self.output.len();
        let called = self.head.names.of(function);
        let id = self.head.item_id(Call::prefix(&called), index);
        let call = Call::new(called, id, call_id, arguments);
        if let Some(writer) = &mut self.writer {
            writer.item(
                "response.output_item.added",
                index,
                &call.item(Status::InProgress),
            );
            let item = &call.id;
            let place = Place { item, index };
            let (delta, done, key) = call.events();
            writer.text(delta, place, members(json!({"delta": call.text})));
            let whole = members(json!({key: call.text, "name": call.called.name}));
            writer.text(done, place, whole);
        }
        self.done(call.item(Status::Completed));
    }

    /// The last event's name, and the response.
    fn whole(&mut self, answer: &Answer) -> (&'static str, Box<RawValue>) {
        let (status, name) = match self.finish {
            Some(FinishReason::Length) => (Status::Incomplete, "response.incomplete"),
            _ => (Status::Completed, "response.completed"),
        };
        let response = self.head.end(State {
            status,
            output: &self.output,
            usage: Some(answer.usage()),
            error: None,
        });
        (name, response)
    }
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

impl Sinks for ResponseEvents {
    type Sink<'a> = ResponseSink<'a>;

    fn of<'a>(&'a mut self, asked: &'a Asked, _choice: usize) -> ResponseSink<'a> {
        ResponseSink {
            events: self,
            vocabulary: &asked.vocabulary,
            ids: &asked.ids,
        }
    }
}

impl Format for ResponseEvents {
    fn out(&mut self) -> &mut BytesMut {
        match &mut self.writer {
            Some(writer) => &mut writer.out,
            None => &mut self.nothing,
        }
    }

    fn end(&mut self, answer: &Answer) {
        self.begin();
        let (name, response) = self.whole(answer);
        if let Some(writer) = &mut self.writer {
            writer.response(name, &response);
        }
    }

    fn fail(&mut self, error: &ApiError) {
        self.begin();
        self.close(Status::Incomplete);
        let response = self.head.json(State {
            status: Status::Failed,
            output: &self.output,
            usage: None,
            error: Some(error),
        });
        if let Some(writer) = &mut self.writer {
            writer.response("response.failed", &response);
        }
    }

    fn silence(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.silence();
        }
    }
}

/// Writes what has come. Its text is told when it is dropped.
pub(crate) struct ResponseSink<'a> {
    events: &'a mut ResponseEvents,
    vocabulary: &'a Vocabulary,
    ids: &'a Ids,
}

impl Drop for ResponseSink<'_> {
    fn drop(&mut self) {
        self.events.flush();
    }
}

impl Sink for ResponseSink<'_> {
    fn token(&mut self, _id: u32) {
        self.events.begin();
    }

    fn message(&mut self, kind: Kind) {
        self.events.open(kind);
    }

    fn reasoning(&mut self, text: &str) {
        self.events.push(true, text);
    }

    fn content(&mut self, text: &str) {
        self.events.push(false, text);
    }

    fn call(&mut self, name: String, arguments: String) {
        self.events.call(self.ids.next("call_"), &name, arguments);
    }

    fn score(&mut self, part: Scored, token: &TokenLogprobs, offset: usize) {
        if let (Scored::Content, Some(open)) = (part, &mut self.events.open) {
            open.scores.push(Score::new(self.vocabulary, token, offset));
        }
    }

    fn finish(&mut self, reason: FinishReason) {
        self.events.close(match reason {
            FinishReason::Length => Status::Incomplete,
            FinishReason::Stop | FinishReason::ToolCalls => Status::Completed,
        });
        self.events.finish = Some(reason);
    }
}
