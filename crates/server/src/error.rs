//! What can go wrong when a server starts.

use std::io;
use std::net::SocketAddr;

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program listens there.
    #[error("{address} is in use by another program; end that one, or choose another port")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// This user may not listen there.
    #[error("this user may not listen at {address}; choose a port above 1023")]
    Denied {
        /// The address.
        address: SocketAddr,
    },
    /// The name has no address.
    #[error("{host:?} has no address of this machine to listen at")]
    Host {
        /// The name.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// The system does not say where it listens.
    #[error("the system does not say where it listens")]
    Address(#[from] io::Error),
    /// Any other reason.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl BindError {
    pub(crate) fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::Denied { address },
            _ => Self::Listen { address, source },
        }
    }
}
