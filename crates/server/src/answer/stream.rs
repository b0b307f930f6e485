//! An answer as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::{Bytes, BytesMut};
use hyper::body::Frame;
use tokio::time::{Instant, Sleep};

use super::choices::{Answer, Progress};
use super::sink::Sinks;
use crate::api_error::ApiError;
use crate::signal::{Registered, Signal, Waiting};

/// An answer as server-sent events: a body of a response. Dropping it cancels the answer.
pub(crate) struct EventStream<F> {
    /// None when all is written.
    answer: Option<Answer>,
    format: F,
    /// Ends all streams.
    ending: Waiting,
    quiet: Quiet,
    /// Whether the response's head is made.
    begun: bool,
    failure: Option<ApiError>,
}

/// How an answer is written as events.
pub(crate) trait Format: Sinks {
    /// What is written and was not sent.
    fn out(&mut self) -> &mut BytesMut;
    /// Writes the end: all choices have ended.
    fn end(&mut self, answer: &Answer);
    /// Writes that an error ends what has begun.
    fn fail(&mut self, error: &ApiError);
    /// Writes that the answer goes on, after a silence.
    fn silence(&mut self);
}

/// Says where nothing was written for a while, because a proxy, or a client, may take silence
/// for the end.
struct Quiet {
    /// Half of the longest silence.
    half: Duration,
    /// Whether something was written since the timer was set.
    written: bool,
    timer: Pin<Box<Sleep>>,
    registered: Registered,
}

impl<F: Format> EventStream<F> {
    /// `ending` ends the stream with an error; `quiet` is the longest silence.
    pub(crate) fn new(answer: Answer, format: F, ending: &Signal, quiet: Duration) -> Self {
        Self {
            answer: Some(answer),
            format,
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
            if self.format.out().is_empty() && self.failure.is_none() {
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
            match answer.poll(context, &mut self.format) {
                // What is written goes out before more is read.
                Poll::Ready(Ok(Progress::Read)) if !self.format.out().is_empty() => return,
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
            Ok(()) => self.format.end(answer),
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

impl<F: Format + Unpin> HttpBody for EventStream<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        this.advance(context);
        if let Some(failure) = this.failure.take() {
            this.format.fail(&failure);
        }
        if this.format.out().is_empty() && this.answer.is_some() && this.quiet.poll(context) {
            this.format.silence();
        }
        let out = this.format.out();
        if !out.is_empty() {
            this.quiet.written = true;
            return Poll::Ready(Some(Ok(Frame::data(out.split().freeze()))));
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

    /// Whether it was silent for too long.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        if !self.registered.is_new(context) && !self.timer.is_elapsed() {
            return false;
        }
        let mut silent = false;
        while self.timer.as_mut().poll(context).is_ready() {
            silent |= !std::mem::take(&mut self.written);
            self.timer.as_mut().reset(Instant::now() + self.half);
        }
        silent
    }
}
