//! A client's socket, which closes where the client does not go on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;
use super::protocol::Protocol;
use crate::config::Limits;

/// A client's socket. Reading fails where a connection lies idle, or a head comes too
/// slowly; writing fails where the client reads nothing of it.
///
/// A body's time, and an answer's, is not the socket's business.
pub(super) struct Socket<S> {
    stream: S,
    activity: Arc<Activity>,
    protocol: Protocol,
    limits: Limits,
    /// Requests that had come when the times below were taken.
    requests: u64,
    idle_since: Option<Instant>,
    head_since: Option<Instant>,
    read_timer: Pin<Box<Sleep>>,
    write_since: Option<Instant>,
    write_timer: Pin<Box<Sleep>>,
}

impl<S> Socket<S> {
    pub(super) fn new(
        stream: S,
        protocol: Protocol,
        activity: Arc<Activity>,
        limits: Limits,
    ) -> Self {
        let timer = || Box::pin(tokio::time::sleep(limits.idle_time));
        Self {
            stream,
            activity,
            protocol,
            requests: 0,
            idle_since: None,
            head_since: None,
            read_timer: timer(),
            write_since: None,
            write_timer: timer(),
            limits,
        }
    }

    /// Ready where the client has not sent the next head in time.
    fn poll_late_head(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let is_busy = match self.protocol {
            Protocol::Http1 => self.activity.is_busy(),
            // It is read all the time, and not again when a request ends.
            Protocol::Http2 => self.activity.is_busy_until(context.waker()),
        };
        if is_busy {
            return Poll::Pending;
        }
        self.forget_past();
        let (deadline, what) = match self.head_since {
            Some(since) => (since + self.limits.head_time, "a head came too slowly"),
            None => {
                let since = *self.idle_since.get_or_insert_with(Instant::now);
                (since + self.limits.idle_time, "the connection lay idle")
            }
        };
        poll_timer(&mut self.read_timer, deadline, context).map(|()| late(what))
    }

    fn forget_past(&mut self) {
        let requests = self.activity.requests();
        if self.requests != requests {
            self.requests = requests;
            self.idle_since = None;
            self.head_since = None;
        }
    }

    fn poll_written<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_since = None;
            return written;
        }
        let since = *self.write_since.get_or_insert_with(Instant::now);
        let deadline = since + self.limits.write_time;
        poll_timer(&mut self.write_timer, deadline, context)
            .map(|()| Err(late("the client did not read")))
    }
}

fn poll_timer(
    timer: &mut Pin<Box<Sleep>>,
    deadline: Instant,
    context: &mut Context<'_>,
) -> Poll<()> {
    if timer.deadline() != deadline {
        timer.as_mut().reset(deadline);
    }
    timer.as_mut().poll(context)
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                // What comes with HTTP/2 while there is no request is seldom a head.
                if self.protocol == Protocol::Http1 && !self.activity.is_busy() {
                    self.forget_past();
                    self.head_since.get_or_insert_with(Instant::now);
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_late_head(context).map(Err),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.poll_written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.poll_written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // With TLS there may be something to write yet, here and below.
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.poll_written(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.poll_written(shut, context)
    }
}
