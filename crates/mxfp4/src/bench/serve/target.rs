//! A server that is driven.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Uri};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

use super::Url;
use crate::exit::{Exit, Failure};
use crate::hidden_keys;
use crate::http::{ClientArgs, authorized, is_https, server_name};

/// How long a server may take to say what it serves.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and what it serves.
pub struct Target {
    /// HOST:PORT to connect to.
    pub address: String,
    /// How to speak TLS there, where that is what it speaks.
    pub tls: Option<Tls>,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    path: Uri,
    model: String,
}

/// How to speak TLS.
pub struct Tls {
    pub connector: TlsConnector,
    /// What the certificate must be for.
    pub name: ServerName<'static>,
}

impl Target {
    /// The server at `url`, which is asked for its model.
    pub fn find(Url(url): &Url, client: &ClientArgs) -> anyhow::Result<Self> {
        let unusable = |why: &dyn std::fmt::Display| {
            let message = format!("the server at {url} does not say what it serves: {why}");
            Failure::new(Exit::Failed, message)
        };
        let uri: Uri = url.parse().map_err(|error| unusable(&error))?;
        let authority = uri.authority().ok_or_else(|| unusable(&"it has no host"))?;
        let port = authority.port_u16();
        let port = port.unwrap_or(if is_https(url) { 443 } else { 80 });
        let tls = is_https(url).then(|| tls(authority.host(), client));
        let authorization = client.authorization().map(|text| text.parse());
        let mut authorization: Option<HeaderValue> = authorization.transpose()?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        let prefix = uri.path().trim_end_matches('/');
        let path: PathAndQuery = format!("{prefix}/v1/completions").parse()?;
        Ok(Self {
            address: format!("{}:{port}", authority.host()),
            tls: tls.transpose()?,
            authorization,
            host: authority.as_str().parse()?,
            path: path.into(),
            model: model(url, client).map_err(|error| unusable(&error))?,
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
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        request
    }
}

fn tls(host: &str, client: &ClientArgs) -> anyhow::Result<Tls> {
    Ok(Tls {
        connector: TlsConnector::from(Arc::new(client.tls()?)),
        name: server_name(host)?,
    })
}

/// The name that a server gives its model.
fn model(url: &str, client: &ClientArgs) -> anyhow::Result<String> {
    let agent = client.agent(url, PATIENCE)?;
    let request = authorized(agent.get(format!("{url}/v1/models")), client);
    let mut answer = match request.call() {
        Err(ureq::Error::StatusCode(401)) => anyhow::bail!(
            "it wants an API key, or another one; set {} to it, or give it with --api-key",
            hidden_keys::VARIABLE
        ),
        answer => answer?,
    };
    let models: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    match models["data"][0]["id"].as_str() {
        Some(model) => Ok(model.to_owned()),
        None => anyhow::bail!("/v1/models names no model"),
    }
}
