//! A request's body, read within bounds.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as Incoming, HttpBody};
use axum::extract::Request;
use axum::http::header;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use crate::api_error::ApiError;
use crate::app::App;

/// A request's body. Its bytes count as taken until it is dropped.
pub(crate) struct Body {
    app: Arc<App>,
    bytes: Vec<u8>,
    taken: usize,
}

/// A body that comes this fast has no limit of time.
const BYTES_A_SECOND: u64 = 64 << 10;
/// What is read at most of a body that nobody wants.
const THROWN_AWAY: usize = 64 << 20;
const THROWN_AWAY_TIME: Duration = Duration::from_secs(5);

impl Body {
    /// Reads it to its end.
    pub(crate) async fn read(app: &Arc<App>, request: Request) -> Result<Self, ApiError> {
        if let Err(error) = check_encoding(&request) {
            throw_away(request).await;
            return Err(error);
        }
        let most = match app.config.limits.body {
            0 => usize::MAX,
            most => most,
        };
        if request.body().size_hint().lower() > most as u64 {
            throw_away(request).await;
            return Err(ApiError::large_body(most));
        }
        let mut incoming = request.into_body();
        let result = Self::read_bounded(app, &mut incoming, most).await;
        if matches!(&result, Err(error) if error.is_early()) {
            throw_rest_away(incoming).await;
        }
        result
    }

    async fn read_bounded(
        app: &Arc<App>,
        incoming: &mut Incoming,
        most: usize,
    ) -> Result<Self, ApiError> {
        let started = Instant::now();
        let mut body = Self {
            app: app.clone(),
            bytes: Vec::new(),
            taken: 0,
        };
        loop {
            let extra = Duration::from_secs(body.bytes.len() as u64 / BYTES_A_SECOND);
            let deadline = started + app.config.limits.body_time + extra;
            let frame = match timeout_at(deadline, incoming.frame()).await {
                Err(_) => return Err(ApiError::slow_body()),
                Ok(None) => return Ok(body),
                Ok(Some(Err(_))) => {
                    return Err(ApiError::invalid("the body ended before its end"));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if data.len() > most - body.bytes.len() {
                return Err(ApiError::large_body(most));
            }
            if !app.take_room(data.len()) {
                let message = "the bodies of other requests fill the memory for them";
                return Err(ApiError::unavailable(message, 1));
            }
            body.taken += data.len();
            body.bytes.extend_from_slice(&data);
        }
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.app.give_room(self.taken);
    }
}

fn check_encoding(request: &Request) -> Result<(), ApiError> {
    match request.headers().get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(ApiError::encoding()),
        _ => Ok(()),
    }
}

/// Reads what comes of a body that nobody wants, within bounds, so that its sender gets
/// to read why: nobody reads an answer who is still writing.
pub(crate) async fn throw_away(request: Request) {
    // A sender that waits has sent nothing, and reading would ask for it.
    if !request.headers().contains_key(header::EXPECT) {
        throw_rest_away(request.into_body()).await;
    }
}

async fn throw_rest_away(mut incoming: Incoming) {
    let deadline = Instant::now() + THROWN_AWAY_TIME;
    let mut thrown = 0;
    while thrown < THROWN_AWAY
        && let Ok(Some(Ok(frame))) = timeout_at(deadline, incoming.frame()).await
    {
        thrown += frame.data_ref().map_or(0, |data| data.len());
    }
}
