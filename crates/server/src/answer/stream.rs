//! An answer as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::body::Frame;
use serde::Serialize;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::choices::{Answer, Asked, Shape};
use super::events::{EventSink, Events, UsageIn, put_json};
use super::sink::Sinks;
use super::usage::Usage;
use crate::api_error::ApiError;
use crate::request::Streaming;

/// An answer as server-sent events: a body of a response. Dropping it cancels the answer.
pub(crate) struct EventStream {
    /// None when all is written.
    answer: Option<Answer>,
    writer: Writer,
    usage: bool,
    /// Ends all streams.
    ending: Pin<Box<WaitForCancellationFutureOwned>>,
    quiet: Quiet,
    failure: Option<ApiError>,
}

/// Where events are written.
struct Writer {
    choices: Vec<Events>,
    out: BytesMut,
}

impl Sinks for Writer {
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

/// Writes a comment where nothing else was written for a while, because a proxy, or a
/// client, may take silence for the end.
struct Quiet {
    most: Duration,
    written: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl EventStream {
    /// `ending` ends the stream with an error; `quiet` is the longest silence.
    pub(crate) fn new(
        answer: Answer,
        streaming: Streaming,
        ending: CancellationToken,
        quiet: Duration,
    ) -> Self {
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
            Events::new(asked.shape, &envelope, index, usage, prompt, asked.scored)
        };
        let mut writer = Writer {
            choices: (0..answer.len()).map(events).collect(),
            out: BytesMut::new(),
        };
        for (index, echo) in asked.echoes.iter().enumerate() {
            writer.of(asked, index).echo(echo);
        }
        Self {
            answer: Some(answer),
            writer,
            usage: streaming.usage,
            ending: Box::pin(ending.cancelled_owned()),
            quiet: Quiet {
                most: quiet,
                written: Instant::now(),
                sleep: Box::pin(tokio::time::sleep(quiet)),
            },
            failure: None,
        }
    }

    /// Waits until something is to be sent, or for a while: so a full queue, or what the
    /// engine refuses, becomes an answer's status.
    pub(crate) async fn begin(mut self, patience: Duration) -> Result<Self, ApiError> {
        let begun = std::future::poll_fn(|context| {
            self.advance(context);
            if self.writer.out.is_empty() && self.failure.is_none() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        // Whoever waits longer gets the head, and events when they come.
        let _ = tokio::time::timeout(patience, begun).await;
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self),
        }
    }

    /// Writes what is there to be written.
    fn advance(&mut self, context: &mut Context<'_>) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        let ended = match answer.poll(context, &mut self.writer) {
            Poll::Pending if self.ending.as_mut().poll(context).is_ready() => {
                Err(ApiError::shutting_down())
            }
            Poll::Pending => return,
            Poll::Ready(result) => result.map_err(ApiError::from),
        };
        match ended {
            Ok(()) => {
                if self.usage {
                    last_chunk(&mut self.writer.out, &answer.asked, &answer.usage());
                }
                self.writer.out.put_slice(b"data: [DONE]\n\n");
            }
            Err(error) => self.failure = Some(error),
        }
        self.answer = None;
    }
}

impl HttpBody for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        this.advance(context);
        if let Some(failure) = this.failure.take() {
            // No `[DONE]` follows: the answer is not whole.
            this.writer.out.put_slice(b"data: ");
            this.writer.out.put_slice(&failure.json());
            this.writer.out.put_slice(b"\n\n");
        }
        if this.writer.out.is_empty() && this.answer.is_some() {
            this.quiet.poll(context, &mut this.writer.out);
        }
        if !this.writer.out.is_empty() {
            this.quiet.written = Instant::now();
            return Poll::Ready(Some(Ok(Frame::data(this.writer.out.split().freeze()))));
        }
        match this.answer {
            Some(_) => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

impl Quiet {
    fn poll(&mut self, context: &mut Context<'_>, out: &mut BytesMut) {
        while self.sleep.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let mut due = self.written + self.most;
            if due <= now {
                out.put_slice(b": the answer goes on\n\n");
                due = now + self.most;
            }
            self.sleep.as_mut().reset(due);
        }
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
