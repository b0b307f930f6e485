//! How this program asks a server: with a key, and by TLS; and one connection, whose answers may stream.

mod connection;
mod server;
mod sse;
mod tls;
mod url;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mxfp4_server::Secret;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

pub use self::connection::Connection;
pub use self::server::{Lost, Server};
pub use self::sse::Events;
pub use self::url::Url;
use crate::exit::{Exit, Failure};

/// What a server wants of its clients.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ClientArgs {
    /// The API key that the server wants; in the variable nobody sees it, in `ps` others do for a moment
    #[arg(
        long,
        value_name = "KEY",
        env = "MXFP4_API_KEY",
        hide_env_values = true
    )]
    api_key: Option<Secret>,
    /// Trust these authorities, too, where the server speaks https: a PEM file
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
}

impl ClientArgs {
    /// What `Authorization` is to say. A server's list of keys has the client's first.
    pub fn authorization(&self) -> Option<String> {
        let key = self.api_key.as_ref()?.expose();
        let key = key.split(',').next().filter(|key| !key.is_empty())?;
        Some(format!("Bearer {key}"))
    }

    /// The same for a server that the key is not for.
    pub fn without_key(&self) -> Self {
        Self {
            api_key: None,
            tls_ca: self.tls_ca.clone(),
        }
    }

    /// An agent for the server at `url`, whose answers may take so long.
    pub fn agent(&self, url: &str, limit: Duration) -> anyhow::Result<ureq::Agent> {
        let tls = match is_https(url) {
            true => self.trusted()?,
            false => Vec::new(),
        };
        let tls = tls.iter().map(|der| Certificate::from_der(der).to_owned());
        Ok(agent(
            limit,
            tls_config().root_certs(RootCerts::from(tls)).build(),
        ))
    }

    /// What a client of its own makes TLS with.
    pub fn tls(&self) -> anyhow::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.trusted()?);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(config)
    }

    /// The system's authorities, which SSL_CERT_FILE and SSL_CERT_DIR replace, and the user's.
    fn trusted(&self) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let mut trusted = rustls_native_certs::load_native_certs().certs;
        if let Some(file) = &self.tls_ca {
            trusted.extend(authorities(file)?);
        }
        Ok(trusted)
    }
}

/// Whether a server is asked by TLS.
pub fn is_https(url: &str) -> bool {
    url.starts_with("https://")
}

fn tls_config() -> ureq::tls::TlsConfigBuilder {
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
}

fn agent(limit: Duration, tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        // A proxy for the outside world has no business on the way to a server of one's own.
        .proxy(None)
        .timeout_global(Some(limit))
        .tls_config(tls)
        .build()
        .into()
}

fn authorities(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let wrong = |why: &dyn std::fmt::Display| {
        let message = format!(
            "--tls-ca {}: {why}; give it a PEM file with certificates",
            file.display()
        );
        Failure::new(Exit::Usage, message)
    };
    let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| wrong(&error))?;
    if all.is_empty() {
        return Err(wrong(&"it has no certificate").into());
    }
    Ok(all)
}

/// The name that a certificate must have for the server of this host.
pub fn server_name(host: &str) -> anyhow::Result<rustls::pki_types::ServerName<'static>> {
    let bare = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    rustls::pki_types::ServerName::try_from(bare)
        .with_context(|| format!("{host} is no name that a certificate can have"))
}

/// The message of an error object, in the forms that servers give it.
pub fn message(data: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(data).ok()?;
    let error = value.get("error").unwrap_or(&value);
    let message = error.get("message").unwrap_or(error).as_str()?;
    Some(message.lines().next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_sends_the_first_key_of_a_list() {
        for (key, expect) in [
            (None, None),
            (Some(""), None),
            (Some("a"), Some("Bearer a")),
            (Some("a,b"), Some("Bearer a")),
        ] {
            let client = ClientArgs {
                api_key: key.map(Secret::new),
                tls_ca: None,
            };
            assert_eq!(client.authorization().as_deref(), expect);
        }
    }
}
