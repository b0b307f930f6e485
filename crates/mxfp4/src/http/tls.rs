//! TLS to a server.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ClientArgs, server_name};

/// How a server proves who it is.
pub struct Tls {
    connector: TlsConnector,
    /// What the certificate must be for.
    name: ServerName<'static>,
}

impl Tls {
    /// For the server of this name or address.
    pub fn new(host: &str, client: &ClientArgs) -> anyhow::Result<Self> {
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client.tls()?)),
            name: server_name(host)?,
        })
    }

    /// Shakes hands over `stream`.
    pub async fn connect(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}
