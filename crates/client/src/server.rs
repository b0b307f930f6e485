//! A server: where it is, how it is reached, and what it is told of who asks.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, StatusCode, Uri};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::time::timeout;

use crate::args::ClientArgs;
use crate::connection::Connection;
use crate::error::Error;
use crate::lost::{Lost, SMALL_BYTES};
use crate::tls::{Tls, trusting};
use crate::url::Url;

/// How long a server may take to say what it serves.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is asked.
pub struct Server {
    url: Url,
    /// HOST:PORT to connect to.
    address: String,
    host: HeaderValue,
    prefix: String,
    tls: Option<Tls>,
    authorization: Option<HeaderValue>,
}

impl Server {
    /// The server at `url`, asked as `client` says.
    pub fn new(url: &Url, client: &ClientArgs) -> Result<Self, Error> {
        let authorization = client.authorization().map(header).transpose()?;
        Self::at(url, || client.tls(), authorization)
    }

    /// The server at `url`, whoever it is.
    pub(crate) fn of_anyone(url: &Url) -> Result<Self, Error> {
        Self::at(url, || Ok(trusting()?), None)
    }

    fn at(
        url: &Url,
        tls: impl FnOnce() -> Result<ClientConfig, Error>,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, Error> {
        let wrong = |why: &dyn fmt::Display| Error::Address {
            url: url.to_string(),
            why: why.to_string(),
        };
        let uri: Uri = url.as_str().parse().map_err(|error| wrong(&error))?;
        let authority = uri.authority().ok_or_else(|| wrong(&"it has no host"))?;
        let (tls, port) = match url.is_https() {
            true => (Some(Tls::new(authority.host(), tls()?)?), 443),
            false => (None, 80),
        };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self {
            url: url.clone(),
            address: format!("{}:{port}", authority.host()),
            host: authority.as_str().parse().map_err(|error| wrong(&error))?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            tls,
            authorization,
        })
    }

    /// Its address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// A connection to it.
    pub async fn connect(&self) -> Result<Connection, Lost> {
        Connection::open(&self.address, self.tls.as_ref()).await
    }

    /// A request for `path`, which begins with a slash; a body is JSON.
    pub fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let path = format!("{}{path}", self.prefix);
        let path: PathAndQuery = path.parse().unwrap_or(PathAndQuery::from_static("/"));
        let has_body = !body.is_empty();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.into();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }

    /// The name that it gives its model.
    pub async fn model(&self) -> Result<String, Lost> {
        let asked = async {
            let mut connection = self.connect().await?;
            let request = self.request(Method::GET, "/v1/models", Bytes::new());
            let response = connection.send(request).await?;
            if response.status() != StatusCode::OK {
                return Err(connection.run(Lost::of(response)).await);
            }
            let unreadable = || Lost::Connection("/v1/models names no model".into());
            let body = Limited::new(response.into_body(), SMALL_BYTES).collect();
            let body = connection.run(body).await.map_err(|_| unreadable())?;
            let models: Value =
                serde_json::from_slice(&body.to_bytes()).map_err(|_| unreadable())?;
            let name = models["data"][0]["id"].as_str().ok_or_else(unreadable)?;
            Ok(name.to_owned())
        };
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            Err(Lost::Connection(format!(
                "{} does not answer within {PATIENCE:?}",
                self.url
            )))
        })
    }
}

/// The header with the key, which no message shows.
fn header(authorization: String) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(authorization).map_err(|_| Error::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_where_the_address_says() {
        let url = "http://[::1]:81/below/v1".parse().unwrap();
        let server = Server::new(&url, &ClientArgs::default()).unwrap();
        assert_eq!(server.address, "[::1]:81");
        let request = server.request(Method::GET, "/v1/models", Bytes::new());
        assert_eq!(request.uri(), "/below/v1/models");
        assert_eq!(request.headers()[HOST], "[::1]:81");
        assert!(!request.headers().contains_key(AUTHORIZATION));
    }

    #[test]
    fn a_key_is_not_shown() {
        assert!(header("Bearer k".into()).unwrap().is_sensitive());
        let error = header("Bearer secret\n".into()).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
