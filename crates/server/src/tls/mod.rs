//! TLS: a certificate, read again when it is renewed, and handshakes within bounds.

mod certificate;
mod error;
mod handshakes;
mod renewal;

pub(crate) use certificate::HTTP_2;
pub use certificate::Tls;
pub use error::TlsError;
pub(crate) use handshakes::Handshakes;
pub(crate) use renewal::{read, renew};
