//! A server that is driven.

use std::num::NonZeroU32;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::exit::{Exit, Failure};
use crate::hidden_keys::VARIABLE;
use mxfp4_client::{ClientArgs, Lost, Server, Url};

/// A server, and what it serves.
pub struct Target {
    /// The server.
    pub server: Server,
    model: String,
}

impl Target {
    /// The server at `url`, which is asked for its model.
    pub fn find(url: &Url, client: &ClientArgs, runtime: &Runtime) -> anyhow::Result<Self> {
        let server = Server::new(url, client)?;
        let model = runtime.block_on(server.model()).map_err(|lost| {
            let why = match lost {
                Lost::Refused { status, .. } if status == StatusCode::UNAUTHORIZED => format!(
                    "it wants an API key, or another one; set {VARIABLE} to it, or give it with --api-key"
                ),
                _ => lost.to_string(),
            };
            let message = format!("the server at {url} does not say what it serves: {why}");
            Failure::new(Exit::Failed, message)
        })?;
        Ok(Self { server, model })
    }

    /// The body of a request with this text, for so many tokens.
    pub fn body(&self, text: &str, tokens: NonZeroU32) -> Bytes {
        let body = json!({
            "model": self.model,
            "prompt": text,
            "max_tokens": tokens,
            "ignore_eos": true,
            "temperature": 0,
            "stream": true,
            // The server alone knows how many tokens it made.
            "stream_options": {"include_usage": true},
        });
        body.to_string().into()
    }

    /// The request with this body.
    pub fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = self.server.request(Method::POST, "/v1/completions", body);
        let events = HeaderValue::from_static("text/event-stream");
        request.headers_mut().insert(ACCEPT, events);
        request
    }
}
