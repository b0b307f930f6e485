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

use super::choices::{Answer, Asked, Progress, Shape};
use super::events::{EventSink, Events, UsageIn, put_json};
use super::sink::Sinks;
use super::usage::Usage;
use crate::api_error::ApiError;
use crate::request::Streaming;
use crate::signal::{Registered, Signal, Waiting};

/// An answer as server-sent events: a body of a response. Dropping it cancels the answer.
pub(crate) struct EventStream {
    /// None when all is written.
    answer: Option<Answer>,
    writer: Writer,
    usage: bool,
    /// Ends all streams.
    ending: Waiting,
    quiet: Quiet,
    /// Whether the response's head is made.
    begun: bool,
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
    /// Half of the longest silence.
    half: Duration,
    /// Whether something was written since the timer was set.
    written: bool,
    timer: Pin<Box<Sleep>>,
    registered: Registered,
}

impl EventStream {
    /// `ending` ends the stream with an error; `quiet` is the longest silence.
    pub(crate) fn new(
        answer: Answer,
        streaming: Streaming,
        ending: &Signal,
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
            ending: ending.waiting(),
            quiet: Quiet::new(quiet),
            begun: false,
            failure: None,
        }
    }

    /// Waits until something is to be sent, or only for a while: so a full queue, or what the
    /// engine refuses, becomes an answer's status.
    pub(crate) async fn begin(mut self, patience: Option<Duration>) -> Result<Self, ApiError> {
        let begun = std::future::poll_fn(|context| {
            self.advance(context);
            if self.writer.out.is_empty() && self.failure.is_none() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        match patience {
            // Whoever waits longer gets the head, and events when they come.
            Some(patience) => drop(tokio::time::timeout(patience, begun).await),
            None => begun.await,
        }
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => {
                self.begun = true;
                Ok(self)
            }
        }
    }

    /// Writes what is there to be written.
    fn advance(&mut self, context: &mut Context<'_>) {
        let Some(answer) = &mut self.answer else {
            return;
        };
        let ended = loop {
            match answer.poll(context, &mut self.writer) {
                // What is written goes out before more is read.
                Poll::Ready(Ok(Progress::Read)) if !self.writer.out.is_empty() => return,
                Poll::Ready(Ok(Progress::Read)) => {}
                Poll::Ready(Ok(Progress::Ended)) => break Ok(()),
                Poll::Ready(Err(error)) => break Err(ApiError::from(error)),
                Poll::Pending if self.ending.poll(context).is_ready() => {
                    break Err(ApiError::shutting_down());
                }
                Poll::Pending => return,
            }
        };
        match ended {
            Ok(()) => {
                if self.usage {
                    last_chunk(&mut self.writer.out, &answer.asked, &answer.usage());
                }
                self.writer.out.put_slice(b"data: [DONE]\n\n");
            }
            Err(error) => {
                if self.begun {
                    answer.failed();
                }
                self.failure = Some(error);
            }
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
            this.quiet.written = true;
            return Poll::Ready(Some(Ok(Frame::data(this.writer.out.split().freeze()))));
        }
        match this.answer {
            Some(_) => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

impl Quiet {
    fn new(most: Duration) -> Self {
        let half = most / 2;
        Self {
            half,
            written: true,
            timer: Box::pin(tokio::time::sleep(half)),
            registered: Registered::default(),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, out: &mut BytesMut) {
        if !self.registered.is_new(context) && !self.timer.is_elapsed() {
            return;
        }
        while self.timer.as_mut().poll(context).is_ready() {
            if !std::mem::take(&mut self.written) {
                out.put_slice(b": the answer goes on\n\n");
            }
            self.timer.as_mut().reset(Instant::now() + self.half);
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
