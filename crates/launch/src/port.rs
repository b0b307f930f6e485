//! Whether a server can listen where it is to.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};

use socket2::{Domain, Socket, Type};

/// The port of MAX's `/metrics`, where MAX_SERVE_METRICS_ENDPOINT_PORT does not say otherwise.
pub const METRICS_PORT: u16 = 8001;

/// The variable that moves `/metrics`.
pub const METRICS_VARIABLE: &str = "MAX_SERVE_METRICS_ENDPOINT_PORT";

/// Why a server cannot listen where it is to.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// It is the port of `/metrics`.
    #[error("port {0} is where the server puts /metrics")]
    Metrics(u16),
    /// The host is none.
    #[error("the host {host} cannot be listened on: {source}")]
    Host {
        /// The host.
        host: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another program listens there.
    #[error("port {0} is busy: something listens on it already")]
    Busy(u16),
    /// Another program listens on the port of `/metrics`, and a server does without.
    #[error("port {0} is busy, so /metrics will not be served")]
    BusyMetrics(u16),
    /// The port is not for this user.
    #[error("port {port} may not be used: {source}")]
    Denied {
        /// The port.
        port: u16,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another machine has this address.
    #[error("{0} is not an address of this machine")]
    Foreign(String),
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

impl PortError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Metrics(_) => {
                format!("choose another with --port, or move /metrics with {METRICS_VARIABLE}")
            }
            Self::Host { .. } => "give --host an address of this machine".into(),
            Self::Busy(_) => "stop that, or choose another with --port".into(),
            Self::BusyMetrics(_) => format!("set {METRICS_VARIABLE} to a free port"),
            Self::Denied { .. } => "choose one above 1023 with --port".into(),
            Self::Foreign(_) => "choose another with --host".into(),
            Self::Other { .. } => "choose another with --host or --port".into(),
        }
    }
}

/// The port must be free on `host`, and on all addresses, as MAX itself wants it.
pub fn port(host: &str, port: u16, metrics_port: u16) -> Result<(), PortError> {
    if port == metrics_port {
        return Err(PortError::Metrics(port));
    }
    let unknown = |source| PortError::Host {
        host: host.to_owned(),
        source,
    };
    let addresses = (host, port).to_socket_addrs().map_err(unknown)?;
    let everywhere = (Ipv4Addr::UNSPECIFIED, port).into();
    let mut ours = false;
    for address in addresses.chain([everywhere]) {
        match try_bind(address) {
            Ok(()) => ours |= address != everywhere || host == "0.0.0.0",
            // `localhost` may have an address that this machine lacks, when it has another that is there.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                return Err(PortError::Busy(port));
            }
            Err(source) if source.kind() == ErrorKind::PermissionDenied => {
                return Err(PortError::Denied { port, source });
            }
            Err(source) => return Err(PortError::Other { address, source }),
        }
    }
    if !ours {
        return Err(PortError::Foreign(host.to_owned()));
    }
    Ok(())
}

/// Why `/metrics` will not be served, where its port is taken.
pub fn metrics_port(host: &str, port: u16) -> Option<PortError> {
    let mut addresses = (host, port).to_socket_addrs().ok()?;
    let is_busy =
        |address| try_bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
    addresses
        .any(is_busy)
        .then_some(PortError::BusyMetrics(port))
}

/// Whether a server could listen there. The socket never listens itself: two checks at once do not see each other, and
/// no client connects to one.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // With this a port is busy only while a socket listens on it, as servers see it.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn two_checks_at_once_do_not_see_each_other() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let checking = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        checking.set_reuse_address(true).unwrap();
        checking.bind(&address.into()).unwrap();
        assert!(port("127.0.0.1", address.port(), METRICS_PORT).is_ok());
    }

    #[test]
    fn a_busy_port_is_found_on_any_address() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let taken = listener.local_addr().unwrap().port();
            let error = port("127.0.0.1", taken, METRICS_PORT)
                .unwrap_err()
                .to_string();
            assert!(error.contains(&format!("port {taken} is busy")), "{error}");
            let busy = metrics_port("127.0.0.1", taken).unwrap();
            assert!(busy.hint().contains(METRICS_VARIABLE));
            drop(listener);
            assert!(port("127.0.0.1", taken, METRICS_PORT).is_ok());
            assert!(metrics_port("127.0.0.1", taken).is_none());
        }
    }

    #[test]
    fn the_port_of_metrics_and_a_foreign_host_are_refused() {
        let error = port("127.0.0.1", 8001, 8001).unwrap_err().to_string();
        assert!(error.contains("/metrics"), "{error}");
        assert!(port("0.0.0.0", 18080, METRICS_PORT).is_ok());
        assert!(port("localhost", 18080, METRICS_PORT).is_ok());
        let error = port("192.0.2.1", 18080, METRICS_PORT)
            .unwrap_err()
            .to_string();
        assert!(error.contains("not an address of this machine"), "{error}");
    }
}
