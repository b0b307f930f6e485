//! So many requests at once, until all are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::answer::{Answer, Uncounted};
use super::client::Client;
use super::target::Target;

/// The most threads that send and read; an event costs them microseconds.
const THREADS: usize = 8;

/// How long between two looks whether a signal came.
const PAUSE: Duration = Duration::from_millis(50);

/// What came of a load.
pub struct Driven {
    /// Of each request the answer, or why there is none; in no order.
    pub answers: Vec<Result<Answer, Uncounted>>,
    /// From the first request to the last answer.
    pub took: Duration,
}

/// The threads that requests are sent from.
pub fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism()?;
    Builder::new_multi_thread()
        .worker_threads(cores.get().min(THREADS))
        .thread_name("load")
        .enable_all()
        .build()
}

/// Sends each body, `concurrency` at a time, and asks for so many tokens; `None` where a signal came before the end.
pub async fn drive(
    target: &Arc<Target>,
    bodies: Vec<Bytes>,
    concurrency: usize,
    tokens: u32,
) -> Option<Driven> {
    let bodies: Arc<[Bytes]> = bodies.into();
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..concurrency.min(bodies.len()) {
        let mut client = Client::new(target.clone());
        let (bodies, next) = (bodies.clone(), next.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                answers.push(client.ask(body.clone(), tokens).await);
            }
            (answers, Instant::now())
        });
    }
    let finished = tokio::select! {
        finished = clients.join_all() => finished,
        () = signal() => return None,
    };
    let ended = finished.iter().map(|(_, ended)| *ended).max();
    Some(Driven {
        took: ended.unwrap_or(began) - began,
        answers: finished
            .into_iter()
            .flat_map(|(answers, _)| answers)
            .collect(),
    })
}

/// Waits for a signal that is meant to end this program.
async fn signal() {
    while mxfp4_process::interrupted().is_none() {
        sleep(PAUSE).await;
    }
}
