//! The floor of what a front end costs: a server that only repeats an answer's events.
//!
//! ```text
//! replay --events FILE --step-ms N
//! ```
//!
//! FILE is the body of a streamed answer. Whatever is asked gets it again, an event a step,
//! by axum's own streaming body: no format is read or written, and there is no engine, no
//! log and no limit. It prints `ready URL`.

use std::convert::Infallible;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Streams that are being answered.
type Streams = Arc<Mutex<Vec<UnboundedSender<()>>>>;

#[derive(Clone)]
struct Replay {
    events: Arc<[Bytes]>,
    streams: Streams,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (mut file, mut step) = (PathBuf::new(), Duration::from_millis(20));
    while let (Some(word), Some(value)) = (words.next(), words.next()) {
        match word.as_str() {
            "--events" => file = value.into(),
            "--step-ms" => step = Duration::from_secs_f64(value.parse::<f64>()? / 1e3),
            _ => return Err(format!("{word} is not known").into()),
        }
    }
    let text = std::fs::read_to_string(file)?;
    let replay = Replay {
        events: text
            .split_inclusive("\n\n")
            .map(|event| Bytes::from(event.to_owned()))
            .collect(),
        streams: Streams::default(),
    };
    tokio::spawn(pace(replay.streams.clone(), step));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("ready http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let router = Router::new()
        .route("/v1/chat/completions", post(answer))
        .with_state(replay);
    axum::serve(listener, router).await?;
    Ok(())
}

/// Tells all streams of each step.
async fn pace(streams: Streams, step: Duration) {
    let mut ticks = tokio::time::interval(step);
    loop {
        ticks.tick().await;
        let mut streams = streams.lock().expect("nobody panics");
        streams.retain(|stream| stream.send(()).is_ok());
    }
}

async fn answer(State(replay): State<Replay>, _: Bytes) -> Response {
    let (sender, steps) = unbounded_channel();
    replay.streams.lock().expect("nobody panics").push(sender);
    let body = stream::unfold(
        (replay.events, 0, steps),
        |(events, at, mut steps)| async move {
            let event = events.get(at)?.clone();
            steps.recv().await?;
            Some((Ok::<_, Infallible>(event), (events, at + 1, steps)))
        },
    );
    let head = [("content-type", "text/event-stream")];
    (head, Body::from_stream(body)).into_response()
}
