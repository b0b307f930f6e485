//! One client: sends a request, measures the answer, keeps the connection for the next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::time::timeout;

use super::answer::{Answer, Measuring, Uncounted};
use super::target::Target;
use mxfp4_client::{Connection, Events, Lost};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Sends requests one after the other.
pub struct Client {
    target: Arc<Target>,
    connection: Option<Connection>,
}

impl Client {
    /// A client of this server, not connected yet.
    pub fn new(target: Arc<Target>) -> Self {
        Self {
            target,
            connection: None,
        }
    }

    /// Sends a request for so many tokens; an error says why it was lost.
    pub async fn ask(&mut self, body: Bytes, tokens: u32) -> Result<Answer, Uncounted> {
        let mut measuring = Measuring::begin(tokens as usize);
        match timeout(PATIENCE, self.exchange(body, &mut measuring)).await {
            Err(_) => Err(Uncounted::Late(PATIENCE)),
            Ok(Err(why)) => Err(why),
            Ok(Ok(())) => measuring.finish(),
        }
    }

    async fn exchange(&mut self, body: Bytes, measuring: &mut Measuring) -> Result<(), Uncounted> {
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && !connection.is_ready().await
        {
            kept = None;
        }
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.target.server.connect().await?,
        };
        let response = connection.send(self.target.request(body)).await?;
        if response.status() != StatusCode::OK {
            return Err(connection.run(Lost::of(response)).await.into());
        }
        let mut stream = response.into_body();
        let mut events = Events::default();
        while let Some(bytes) = connection.next(&mut stream).await? {
            let now = Instant::now();
            events.push(&bytes, &mut |data| measuring.event(data, now))?;
        }
        self.connection = Some(connection);
        Ok(())
    }
}
