//! A server that is driven.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri};
use serde_json::{Value, json};

use super::Url;
use crate::exit::{Exit, Failure};

/// How long a server may take to say what it serves.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and what it serves.
pub struct Target {
    /// HOST:PORT to connect to.
    pub address: String,
    host: HeaderValue,
    path: Uri,
    model: String,
}

impl Target {
    /// The server at `url`, which is asked for its model.
    pub fn find(Url(url): &Url) -> anyhow::Result<Self> {
        let unusable = |why: &dyn std::fmt::Display| {
            let message = format!("the server at {url} does not say what it serves: {why}");
            Failure::new(Exit::Failed, message)
        };
        let uri: Uri = url.parse().map_err(|error| unusable(&error))?;
        let authority = uri.authority().ok_or_else(|| unusable(&"it has no host"))?;
        let port = authority.port_u16().unwrap_or(80);
        let prefix = uri.path().trim_end_matches('/');
        let path: PathAndQuery = format!("{prefix}/v1/completions").parse()?;
        Ok(Self {
            address: format!("{}:{port}", authority.host()),
            host: authority.as_str().parse()?,
            path: path.into(),
            model: model(url).map_err(|error| unusable(&error))?,
        })
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
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        request
    }
}

/// The name that a server gives its model.
fn model(url: &str) -> anyhow::Result<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        // A proxy for the outside world has no business on the way to a server that is measured.
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut answer = agent.get(format!("{url}/v1/models")).call()?;
    let models: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    match models["data"][0]["id"].as_str() {
        Some(model) => Ok(model.to_owned()),
        None => anyhow::bail!("/v1/models names no model"),
    }
}
