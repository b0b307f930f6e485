//! The same requests by TLS, and by HTTP/2.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mxfp4_server::Tls;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// The name in all certificates.
pub const NAME: &str = "server.test";

/// A certificate that signs itself, in a folder of its own.
pub struct Certificate {
    pub folder: TempDir,
}

impl Certificate {
    pub fn new() -> Self {
        let certificate = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        certificate.renew();
        certificate
    }

    /// Another one in its place; the key comes last.
    pub fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
        fs::write(self.certificate(), made.cert.pem()).unwrap();
        fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    pub fn tls(&self) -> Tls {
        Tls::load(self.certificate(), self.key()).unwrap()
    }

    /// A client that trusts it as it is now.
    pub fn connector(&self, protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(self.certificate()).unwrap();
        roots.add(certificate).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| (*name).into()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// What bytes go by.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Connects, by TLS where there is a certificate. The system keeps little for one that does not read.
pub async fn connect(
    address: SocketAddr,
    certificate: Option<&Certificate>,
    protocols: &[&str],
) -> Box<dyn Wire> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    match certificate {
        None => Box::new(stream),
        Some(certificate) => {
            let name = ServerName::try_from(NAME).unwrap();
            let connector = certificate.connector(protocols);
            Box::new(connector.connect(name, stream).await.unwrap())
        }
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// A connection of HTTP/2.
#[derive(Clone)]
pub struct Http2(SendRequest<Body>);

/// How much of an answer may wait for a client that does not read it.
pub const WINDOW: u32 = 16 << 10;

impl Http2 {
    pub async fn connect(address: SocketAddr, certificate: Option<&Certificate>) -> Self {
        let wire = connect(address, certificate, &["h2"]).await;
        Self::over(wire).await
    }

    pub async fn over(wire: Box<dyn Wire>) -> Self {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(16 << 20)
            .handshake(TokioIo::new(wire))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// The answer's head; its body is read by whoever gets it.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> hyper::Result<Response<Incoming>> {
        let body = Full::new(body).boxed();
        self.send_body(method, path, headers, body).await
    }

    /// A body of which no more than these pieces ever comes.
    pub async fn send_without_end(
        &self,
        path: &str,
        piece: &'static str,
    ) -> hyper::Result<Response<Incoming>> {
        let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from(piece)))]);
        let body = StreamBody::new(first.chain(futures_util::stream::pending()));
        self.send_body("POST", path, &[], BodyExt::boxed(body))
            .await
    }

    async fn send_body(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> hyper::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{NAME}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut sender = self.0.clone();
        sender.ready().await?;
        sender.send_request(request.body(body).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> hyper::Result<Response<Incoming>> {
        self.send("POST", path, &[], body.to_string().into()).await
    }

    /// Whether the connection takes no more requests.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// A body to its end.
pub async fn text(response: Response<Incoming>) -> hyper::Result<String> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}
