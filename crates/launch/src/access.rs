use mxfp4_server::{Keys, Origin, SealKey, Store, Tls};

/// Who may ask a server, and how, decided. By default anyone may, in the clear.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Who may ask.
    pub keys: Keys,
    /// Whether `/metrics` needs no key.
    pub metrics_without_key: bool,
    /// What TLS needs.
    pub tls: Option<Tls>,
    /// Whose pages may ask.
    pub origins: Vec<Origin>,
    /// What is kept for clients.
    pub kept: Kept,
}

/// What a server keeps, decided.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Where responses are kept.
    pub store: Option<Store>,
    /// What reasoning is sealed with.
    pub seal_keys: Vec<SealKey>,
}
