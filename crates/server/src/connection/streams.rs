//! The requests of a connection of HTTP/2, each of which ends where its client reads nothing
//! of its answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

/// Runs the requests of a connection. HTTP/2 lets a client take one answer and leave another
/// one lying, so that the socket's own time for writing says nothing.
#[derive(Clone)]
pub(super) struct Streams {
    write_time: Duration,
}

/// Since when an answer has a piece that its client does not take.
#[derive(Default)]
pub(super) struct Unread(Mutex<Option<Instant>>);

tokio::task_local! {
    static UNREAD: Arc<Unread>;
}

impl Unread {
    /// That of the request that runs in this task; none with HTTP/1.1.
    pub(super) fn current() -> Option<Arc<Self>> {
        UNREAD.try_with(Arc::clone).ok()
    }

    /// A piece is ready.
    pub(super) fn begins(&self) {
        self.set(Some(Instant::now()));
    }

    /// The client has taken all there is.
    pub(super) fn ends(&self) {
        self.set(None);
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    pub(super) fn new(write_time: Duration) -> Self {
        Self { write_time }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, work: F) {
        let unread = Arc::new(Unread::default());
        let work = UNREAD.scope(unread.clone(), work);
        tokio::spawn(Bounded {
            work: Box::pin(work),
            unread,
            write_time: self.write_time,
            timer: None,
        });
    }
}

/// A request that is dropped, and so reset, where its answer is not read for too long.
struct Bounded<F> {
    work: Pin<Box<F>>,
    unread: Arc<Unread>,
    write_time: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Future<Output = ()>> Future for Bounded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.work.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = self.unread.since() else {
            return Poll::Pending;
        };
        let deadline = since + self.write_time;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context)
    }
}
