//! Where clients connect.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use super::protocol::Protocol;
use super::serve::serve;
use crate::api_error::ApiError;
use crate::app::App;
use crate::error::BindError;
use crate::tls::Tls;

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// How long nothing is accepted where the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The sockets of one port.
pub(crate) struct Listeners(Vec<TcpListener>);

/// Listens at every address of a name that this machine has.
pub(crate) async fn listen(host: &str, port: u16) -> Result<Listeners, BindError> {
    let unknown = |source| BindError::Host {
        host: host.to_owned(),
        source,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = lookup_host((bare, port)).await.map_err(unknown)?.collect();
    let mut listeners = Vec::new();
    let mut absent = None;
    for address in addresses {
        match bind(address) {
            Ok(listener) => listeners.push(listener),
            // A name may have an address of a protocol that is switched off.
            Err(error) if is_absent(&error) => absent = Some(BindError::new(address, error)),
            Err(error) => return Err(BindError::new(address, error)),
        }
        if port == 0 && !listeners.is_empty() {
            break;
        }
    }
    match (listeners.is_empty(), absent) {
        (false, _) => Ok(Listeners(listeners)),
        (true, Some(error)) => Err(error),
        (true, None) => Err(unknown(io::ErrorKind::NotFound.into())),
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that has just ended leaves connections behind that keep nobody away.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    )
}

impl Listeners {
    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.0.iter().map(TcpListener::local_addr).collect()
    }

    /// Serves what connects, until the server closes.
    pub(crate) fn serve(self, app: &Arc<App>, router: &Router) {
        for listener in self.0 {
            app.connections
                .spawn(accept(app.clone(), router.clone(), listener));
        }
    }
}

async fn accept(app: Arc<App>, router: Router, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.closing.given() => return,
        };
        match accepted {
            Ok((stream, _)) => greet(&app, &router, stream),
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                tracing::warn!("no connection can be accepted for now: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether a client left before it was accepted.
fn is_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Finds out what a client speaks, and serves it.
fn greet(app: &Arc<App>, router: &Router, stream: TcpStream) {
    // An event is to leave at once.
    let _ = stream.set_nodelay(true);
    let (app, router) = (app.clone(), router.clone());
    match app.config.tls.clone() {
        Some(tls) => app
            .connections
            .clone()
            .spawn(greet_with_tls(app, router, tls, stream)),
        None => {
            // Said at once: nobody has to be waited for.
            let Some(open) = Open::admit(&app) else {
                refuse(&stream);
                return;
            };
            app.connections.clone().spawn(async move {
                let idle_time = app.config.limits.idle_time;
                let protocol = tokio::select! {
                    spoken = Protocol::spoken(&stream, idle_time) => spoken,
                    () = app.closing.given() => None,
                };
                if let Some(protocol) = protocol {
                    serve(app, router, stream, protocol).await;
                }
                drop(open);
            })
        }
    };
}

async fn greet_with_tls(app: Arc<App>, router: Router, tls: Tls, stream: TcpStream) {
    let shaken = tokio::select! {
        shaken = app.handshakes.shake(&tls, stream) => shaken,
        () = app.closing.given() => return,
    };
    let stream = match shaken {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!("a handshake ended: {error}");
            return;
        }
    };
    // Only now: whoever does not end a handshake takes no connection from anyone.
    let Some(open) = Open::admit(&app) else {
        return;
    };
    let protocol = Protocol::chosen(&stream);
    serve(app, router, stream, protocol).await;
    drop(open);
}

/// A connection that is counted.
struct Open(Arc<App>);

impl Open {
    /// Counts one more; none where there are as many as may be.
    fn admit(app: &Arc<App>) -> Option<Self> {
        let before = app.metrics.connections.inc();
        let open = Self(app.clone());
        let before = usize::try_from(before).unwrap_or(0);
        (before < app.config.limits.connections).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}

/// Says that there are too many connections, as far as a fresh socket takes it.
fn refuse(stream: &TcpStream) {
    let error = ApiError::unavailable("as many connections are open as may be", 1);
    let body = error.json();
    let status = error.into_response().status();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.try_write(&[head.as_bytes(), &body].concat());
}
