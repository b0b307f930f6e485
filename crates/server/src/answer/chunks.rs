//! OpenAI's chunks: what the events of a stream carry.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::asked::{Asked, Shape};
use super::choices::Answer;
use super::events::{EventSink, Events, UsageIn, put_json};
use super::sink::Sinks;
use super::stream::Format;
use super::usage::Usage;
use crate::api_error::ApiError;
use crate::request::Streaming;

/// OpenAI's chunks, and `[DONE]` at the end.
pub(crate) struct Chunks {
    choices: Vec<Events>,
    out: BytesMut,
    /// Whether a last chunk has the usage.
    usage: bool,
}

impl Chunks {
    pub(crate) fn new(answer: &Answer, streaming: Streaming) -> Self {
        let asked = &answer.asked;
        let envelope = envelope(asked);
        let usage = match streaming {
            Streaming {
                continuous_usage: true,
                ..
            } => UsageIn::Every,
            Streaming { usage: true, .. } => UsageIn::Last,
            Streaming { .. } => UsageIn::None,
        };
        let events = |index| {
            let prompt = asked.prompt_tokens;
            let (scored, token_ids) = (asked.scored, asked.token_ids);
            Events::new(
                asked.shape,
                &envelope,
                index,
                usage,
                prompt,
                scored,
                token_ids,
            )
        };
        let mut chunks = Self {
            choices: (0..answer.len()).map(events).collect(),
            out: BytesMut::new(),
            usage: streaming.usage,
        };
        for (index, echo) in asked.echoes.iter().enumerate() {
            chunks.of(asked, index).echo(echo);
        }
        chunks
    }
}

impl Sinks for Chunks {
    type Sink<'a> = EventSink<'a>;

    fn of<'a>(&'a mut self, asked: &'a Asked, choice: usize) -> EventSink<'a> {
        EventSink {
            events: &mut self.choices[choice],
            out: &mut self.out,
            vocabulary: &asked.vocabulary,
            ids: &asked.ids,
        }
    }
}

impl Format for Chunks {
    fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    fn end(&mut self, answer: &Answer) {
        if self.usage {
            last_chunk(&mut self.out, &answer.asked, &answer.usage());
        }
        self.out.put_slice(b"data: [DONE]\n\n");
    }

    /// No `[DONE]` follows: the answer is not whole.
    fn fail(&mut self, error: &ApiError) {
        self.out.put_slice(b"data: ");
        self.out.put_slice(&error.json());
        self.out.put_slice(b"\n\n");
    }

    fn silence(&mut self) {
        self.out.put_slice(b": the answer goes on\n\n");
    }
}

/// What all chunks begin with, without braces.
fn envelope(asked: &Asked) -> String {
    #[derive(Serialize)]
    struct Envelope<'a> {
        id: &'a str,
        object: &'static str,
        created: u64,
        model: &'a str,
        system_fingerprint: &'a str,
    }
    let envelope = Envelope {
        id: &asked.id,
        object: match asked.shape {
            Shape::Chat => "chat.completion.chunk",
            Shape::Raw => "text_completion",
        },
        created: asked.created,
        model: &asked.model,
        system_fingerprint: &asked.fingerprint,
    };
    let json = serde_json::to_string(&envelope).unwrap_or_default();
    json.trim_start_matches('{')
        .trim_end_matches('}')
        .to_owned()
}

/// The chunk that has the counts and no choices.
fn last_chunk(out: &mut BytesMut, asked: &Asked, usage: &Usage) {
    out.put_slice(b"data: {");
    out.put_slice(envelope(asked).as_bytes());
    out.put_slice(b",\"choices\":[],\"usage\":");
    put_json(out, usage);
    out.put_slice(b"}\n\n");
}
