//! Where a server listens, and whether it answers there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mxfp4_client::{Url, is_healthy};

/// Where a server listens.
#[derive(Clone, Debug)]
pub struct Address {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The address it was told.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Where a client of this machine reaches it: a server that listens everywhere is asked here.
    pub fn url(&self) -> String {
        let host = match self.host.parse() {
            Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            Ok(IpAddr::V6(address)) if address.is_unspecified() => {
                format!("[{}]", Ipv6Addr::LOCALHOST)
            }
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        format!("{}://{host}:{}", self.scheme(), self.port)
    }

    /// What the address begins with.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The same for a client.
    pub fn target(&self) -> Result<Url, mxfp4_client::Error> {
        Url::read(&self.url())
    }

    /// Whether a server there says that it is ready.
    pub fn answers(&self) -> bool {
        self.target().is_ok_and(|url| is_healthy(&url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_asked_here() {
        for (host, expect) in [
            ("127.0.0.1", "http://127.0.0.1:80"),
            ("0.0.0.0", "http://127.0.0.1:80"),
            ("::", "http://[::1]:80"),
            ("fe80::1", "http://[fe80::1]:80"),
            ("localhost", "http://localhost:80"),
        ] {
            let address = Address {
                tls: false,
                host: host.into(),
                port: 80,
            };
            assert_eq!(address.url(), expect);
        }
    }
}
