//! One request, for those that do nothing else meanwhile.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{Method, StatusCode};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::lost::Lost;
use crate::server::Server;
use crate::url::Url;

/// How long a server may take to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most that is read of an answer.
const BYTES: usize = 16 << 20;

/// Sends `body`, which is JSON, to `path`, and returns the answer.
pub fn post(server: &Server, path: &str, body: Bytes, limit: Duration) -> Result<Bytes, Lost> {
    within(limit, async {
        let mut connection = server.connect().await?;
        let request = server.request(Method::POST, path, body);
        let response = connection.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(connection.run(Lost::of(response)).await);
        }
        let body = Limited::new(response.into_body(), BYTES).collect();
        let broken =
            |error: Box<dyn std::error::Error + Send + Sync>| Lost::Connection(error.to_string());
        Ok(connection.run(body).await.map_err(broken)?.to_bytes())
    })
}

/// Whether the server at `url` says that it is ready. It is told nothing, and so may have any certificate: here it is asked
/// by an address, which few have.
pub fn is_healthy(url: &Url) -> bool {
    let Ok(server) = Server::of_anyone(url) else {
        return false;
    };
    let status = within(PATIENCE, async {
        let mut connection = server.connect().await?;
        let request = server.request(Method::GET, "/health", Bytes::new());
        Ok(connection.send(request).await?.status())
    });
    status.is_ok_and(|status| status.is_success())
}

fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Lost::Connection(error.to_string()))?;
    let late = |_| Lost::Connection(format!("no answer within {limit:?}"));
    runtime.block_on(async { timeout(limit, work).await.map_err(late)? })
}
