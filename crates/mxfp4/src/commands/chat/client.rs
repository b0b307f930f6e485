//! Asks a server, and reads what it streams.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use mxfp4_process::Interrupts;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::answer::{Answer, End, Piece, Reading};
use mxfp4_client::{ClientArgs, Events, Lost, Server, Url};

/// How long a connection may take.
const TO_CONNECT: Duration = Duration::from_secs(10);

/// How long nothing at all may come of an answer. The server writes a comment every 15 seconds once it has begun.
const SILENCE: Duration = Duration::from_secs(10 * 60);

/// A server, and the thread that talks to it.
pub struct Client {
    server: Server,
    runtime: Runtime,
}

/// What ends a reading.
enum Stop {
    /// There is no answer.
    Lost(Lost),
    /// It ends here.
    End(End),
    /// It cannot be shown.
    Output(io::Error),
}

impl Client {
    /// A client of the server at `url`, as [`Server::new`] has it.
    pub fn new(url: &Url, client: &ClientArgs) -> anyhow::Result<Self> {
        Ok(Self {
            server: Server::new(url, client)?,
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start what talks to the server")?,
        })
    }

    /// The server's address.
    pub fn url(&self) -> &Url {
        self.server.url()
    }

    /// The name of the model that is served.
    pub fn model(&self) -> Result<String, Lost> {
        self.runtime.block_on(self.server.model())
    }

    /// Sends a chat request and hands on each piece of the answer. Ctrl-C ends the answer, and closes the connection, so
    /// that the server stops working on it. An error is one of showing it.
    pub fn ask(
        &self,
        body: Bytes,
        show: &mut dyn FnMut(Piece<'_>) -> io::Result<()>,
    ) -> io::Result<Result<Answer, Lost>> {
        let interrupted = Arc::new(Notify::new());
        let notify = Arc::clone(&interrupted);
        let _interrupts = Interrupts::start(move || notify.notify_one())?;
        let mut reading = Reading::begin();
        let stop = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = interrupted.notified() => Stop::End(End::Interrupted),
                stop = self.exchange(body, &mut reading, show) => stop,
            }
        });
        match stop {
            Stop::Lost(lost) => Ok(Err(lost)),
            Stop::End(end) => Ok(Ok(reading.finish(end))),
            Stop::Output(error) => Err(error),
        }
    }

    async fn exchange(
        &self,
        body: Bytes,
        reading: &mut Reading,
        show: &mut dyn FnMut(Piece<'_>) -> io::Result<()>,
    ) -> Stop {
        match self.stream(body, reading, show).await {
            Ok(()) => Stop::End(reading.end()),
            Err(stop) => stop,
        }
    }

    async fn stream(
        &self,
        body: Bytes,
        reading: &mut Reading,
        show: &mut dyn FnMut(Piece<'_>) -> io::Result<()>,
    ) -> Result<(), Stop> {
        let lost = |why| Stop::Lost(Lost::Connection(why));
        let slow = || format!("cannot connect to {} within {TO_CONNECT:?}", self.url());
        let connecting = timeout(TO_CONNECT, self.server.connect()).await;
        let mut connection = connecting.map_err(|_| lost(slow()))?.map_err(Stop::Lost)?;
        let request = self
            .server
            .request(Method::POST, "/v1/chat/completions", body);
        let silent = || format!("{} says nothing for {SILENCE:?}", self.url());
        let response = timeout(SILENCE, connection.send(request)).await;
        let response = response.map_err(|_| lost(silent()))?.map_err(Stop::Lost)?;
        if response.status() != StatusCode::OK {
            return Err(Stop::Lost(connection.run(Lost::of(response)).await));
        }
        let mut stream = response.into_body();
        let mut events = Events::default();
        let broken = |why| Stop::End(End::Broken(why));
        let cut = |lost: Lost| broken(lost.to_string());
        loop {
            let next = timeout(SILENCE, connection.next(&mut stream)).await;
            let Some(bytes) = next.map_err(|_| broken(silent()))?.map_err(cut)? else {
                return Ok(());
            };
            events.push(&bytes, &mut |data| {
                let pieces = reading.event(data).map_err(broken)?;
                pieces
                    .iter()
                    .try_for_each(|piece| show(piece.as_ref()).map_err(Stop::Output))
            })?;
        }
    }
}
