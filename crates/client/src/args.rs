//! What a server wants of its clients.

use std::path::{Path, PathBuf};

use mxfp4_server::Secret;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;
use crate::tls::config;

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

    /// What TLS is made with.
    pub fn tls(&self) -> Result<ClientConfig, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.trusted()?);
        Ok(config()?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }

    /// The system's authorities, which SSL_CERT_FILE and SSL_CERT_DIR replace, and the user's.
    fn trusted(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let mut trusted = rustls_native_certs::load_native_certs().certs;
        if let Some(file) = &self.tls_ca {
            trusted.extend(authorities(file)?);
        }
        Ok(trusted)
    }
}

fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |why: &dyn std::fmt::Display| Error::Authorities {
        file: file.to_owned(),
        why: why.to_string(),
    };
    let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| wrong(&error))?;
    if all.is_empty() {
        return Err(wrong(&"it has no certificate"));
    }
    Ok(all)
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
