//! An answer's body, followed to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::activity::Busy;
use super::streams::Unread;
use crate::record::Record;

/// An answer's body. What is remembered of its request ends with it.
pub(super) struct Followed {
    // Dropped in this order: an answer tells the record of its tokens.
    body: Body,
    record: Arc<Record>,
    /// With HTTP/2.
    unread: Option<Arc<Unread>>,
    _busy: Busy,
}

impl Followed {
    pub(super) fn new(body: Body, record: Arc<Record>, busy: Busy) -> Self {
        if body.is_end_stream() {
            record.whole();
        }
        let unread = Unread::current();
        if let Some(unread) = &unread {
            unread.begins();
        }
        Self {
            body,
            record,
            unread,
            _busy: busy,
        }
    }
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let last = match &frame {
            Poll::Ready(None) => true,
            Poll::Ready(Some(_)) => self.body.is_end_stream(),
            Poll::Pending => false,
        };
        if last {
            self.record.whole();
        }
        match (&self.unread, &frame) {
            (Some(unread), Poll::Ready(Some(_))) => unread.begins(),
            (Some(unread), _) => unread.ends(),
            (None, _) => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
