use std::path::PathBuf;

/// Why a server cannot be asked: something on the command line is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("{url}: {why}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file of authorities is none.
    #[error("--tls-ca {}: {why}", file.display())]
    Authorities {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key is none.
    #[error("the key (--api-key, MXFP4_API_KEY) has a character that no header can carry")]
    Key,
    /// No certificate can be for this host.
    #[error("{0} is no name that a certificate can have")]
    Host(String),
    /// TLS is not to be had.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Authorities { .. } => Some("give it a PEM file with certificates"),
            Self::Key => Some("is there a line break in it?"),
            Self::Address { .. } | Self::Host(_) | Self::Tls(_) => None,
        }
    }
}
