//! Something that ends many tasks, each of which runs very often before.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A word that is given once, and that many tasks wait for.
#[derive(Clone, Default)]
pub(crate) struct Signal {
    token: CancellationToken,
    given: Arc<AtomicBool>,
}

/// A task that waits for a [`Signal`] while it does something else. To look whether the
/// signal was given costs next to nothing, as it is done with every token.
pub(crate) struct Waiting {
    signal: Signal,
    future: Pin<Box<WaitForCancellationFutureOwned>>,
    registered: Registered,
}

impl Signal {
    pub(crate) fn give(&self) {
        self.given.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Waits for it.
    pub(crate) async fn given(&self) {
        self.token.cancelled().await;
    }

    /// To be polled beside other things.
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting {
            signal: self.clone(),
            future: Box::pin(self.token.clone().cancelled_owned()),
            registered: Registered::default(),
        }
    }
}

impl Waiting {
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.signal.given.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if self.registered.is_new(context) {
            return self.future.as_mut().poll(context);
        }
        Poll::Pending
    }
}

/// The waker that a future was polled with. It need not be polled again with the same to
/// wake the task.
#[derive(Default)]
pub(crate) struct Registered(Option<Waker>);

impl Registered {
    /// Whether the waker is another one than before.
    pub(crate) fn is_new(&mut self, context: &mut Context<'_>) -> bool {
        let waker = context.waker();
        match &self.0 {
            Some(known) if known.will_wake(waker) => false,
            _ => {
                self.0 = Some(waker.clone());
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_waits_is_woken_once_it_is_given() {
        let signal = Signal::default();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let mut waiting = signal.waiting();
                tokio::spawn(std::future::poll_fn(move |context| waiting.poll(context)))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(tasks.iter().all(|task| !task.is_finished()));
        signal.give();
        for task in tasks {
            task.await.unwrap();
        }
        signal.given().await;
    }
}
