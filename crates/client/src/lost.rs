use std::fmt;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::{Response, StatusCode};

use crate::message::message;

/// The most that is read of an answer that is an error, or names models.
pub(crate) const SMALL_BYTES: usize = 64 << 10;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No connection, or one that broke.
    Connection(String),
    /// The server refuses.
    Refused {
        /// How.
        status: StatusCode,
        /// Why, where it says so.
        message: Option<String>,
        /// After how many seconds it may be asked again.
        retry_after: Option<u64>,
    },
}

impl std::error::Error for Lost {}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(why) => f.write_str(why),
            Self::Refused {
                status,
                message: Some(message),
                ..
            } => write!(f, "{status}: {message}"),
            Self::Refused { status, .. } => write!(f, "{status}"),
        }
    }
}

impl Lost {
    /// What an answer says that is none.
    pub async fn of(response: Response<Incoming>) -> Self {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = Limited::new(response.into_body(), SMALL_BYTES);
        let body = body.collect().await.map(|body| body.to_bytes());
        Self::Refused {
            status,
            message: body.ok().and_then(|body| message(&body)),
            retry_after,
        }
    }
}
