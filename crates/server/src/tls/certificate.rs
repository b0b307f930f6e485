//! A certificate and its private key, from two files.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use zeroize::Zeroizing;

use super::error::TlsError;
use crate::auth::is_open;

/// What TLS needs: a certificate and its private key. Both are read again when their files
/// change.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: [PathBuf; 2],
    config: RwLock<Arc<ServerConfig>>,
    /// What the files were when they were read last, well or not.
    seen: Mutex<Seen>,
}

/// What changes when a file does: also where a link leads elsewhere.
type Seen = [Option<(u64, u64, i64, i64)>; 2];

/// The protocols that a client can choose, the best first.
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];

/// How a client chooses HTTP/2.
pub(crate) const HTTP_2: &[u8] = b"h2";

impl Tls {
    /// Reads them: PEM files.
    ///
    /// # Errors
    ///
    /// Where one cannot be read, or they do not belong together.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let files = [certificate, key];
        let seen = seen(&files);
        let config = config(&files)?;
        if is_open(&files[1]) {
            let file = files[1].display();
            tracing::warn!(
                "all users of this machine may read the private key in {file}; `chmod 600 {file}` keeps them out"
            );
        }
        Ok(Self(Arc::new(Shared {
            files,
            config: RwLock::new(Arc::new(config)),
            seen: Mutex::new(seen),
        })))
    }

    /// Reads them again. Where that fails they stay as they were.
    ///
    /// # Errors
    ///
    /// As with [`Self::load`].
    pub(crate) fn reload(&self) -> Result<&Path, TlsError> {
        let now = seen(&self.0.files);
        *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        let config = config(&self.0.files)?;
        let current = self.0.config.write();
        *current.unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(&self.0.files[0])
    }

    /// Whether a file is another than when both were read.
    pub(crate) fn has_changed(&self) -> bool {
        let before = *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen(&self.0.files) != before
    }

    /// What handshakes use for now.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let config = self.0.config.read();
        config.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.0.files[0].display())
    }
}

fn seen(files: &[PathBuf; 2]) -> Seen {
    files.each_ref().map(|file| {
        let about = fs::metadata(file).ok()?;
        Some((about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
    })
}

fn config(files: &[PathBuf; 2]) -> Result<ServerConfig, TlsError> {
    let [certificate, key] = files;
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    let unusable = |source| TlsError::Unusable {
        certificate: certificate.clone(),
        key: key.clone(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(TlsError::NoCertificate {
            path: path.to_owned(),
        }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| TlsError::NoKey {
        path: path.to_owned(),
    })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    /// No certificate or key is larger.
    const LARGEST: u64 = 1 << 20;
    let read = || {
        if fs::metadata(path)?.len() > LARGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read(path)
    };
    read().map(Zeroizing::new).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn what_does_not_belong_together_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(folder.path(), "a.test");
        let tls = Tls::load(certificate.clone(), key.clone()).unwrap();
        assert!(!tls.has_changed());
        let first = tls.config();

        let other = tempfile::tempdir().unwrap();
        let (renewed, renewed_key) = write(other.path(), "a.test");
        fs::copy(&renewed, &certificate).unwrap();
        assert!(tls.has_changed());
        assert!(matches!(tls.reload(), Err(TlsError::Unusable { .. })));
        assert!(!tls.has_changed(), "it is said once");
        assert!(Arc::ptr_eq(&first, &tls.config()));

        fs::copy(&renewed_key, &key).unwrap();
        assert!(tls.has_changed());
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&first, &tls.config()));
    }

    #[test]
    fn files_that_are_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(folder.path(), "a.test");
        let load = |certificate: &Path, key: &Path| {
            Tls::load(certificate.to_owned(), key.to_owned()).unwrap_err()
        };
        let missing = folder.path().join("missing.pem");
        assert!(matches!(load(&missing, &key), TlsError::Read { .. }));
        assert!(matches!(load(&key, &key), TlsError::NoCertificate { .. }));
        assert!(matches!(
            load(&certificate, &certificate),
            TlsError::NoKey { .. }
        ));
        let private = fs::read_to_string(&key).unwrap();
        let error = load(&key, &key).to_string();
        assert!(!error.contains(private.lines().nth(1).unwrap()));
    }
}
