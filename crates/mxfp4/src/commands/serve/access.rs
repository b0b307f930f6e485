//! Who may ask a server, and how: keys, their limits, TLS, pages of other sites.

use std::net::ToSocketAddrs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use mxfp4_launch::{Access, Frontend, Kept, Launch};
use mxfp4_server::{KeyLimits, KeySource, Keys, KeysError, Origin, Secret, Tls};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::hidden_keys;

/// Who may ask a server, and how.
#[derive(clap::Args)]
pub struct AccessArgs {
    /// Answer only who sends this API key; may be given more than once. In the variable, with commas, nobody sees it; in `ps`
    /// others do for a moment
    #[arg(long, value_name = "KEY", env = hidden_keys::VARIABLE, hide_env_values = true, value_delimiter = ',')]
    api_key: Vec<Secret>,
    /// A file of more API keys, each line NAME KEY and maybe limits, read again at SIGHUP [default: serve.api-key-file of
    /// mxfp4.toml]
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// Answer /metrics without an API key
    #[arg(long)]
    metrics_without_key: bool,
    /// How many requests a minute each API key may send [default: any number]
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<NonZeroU32>,
    /// How many tokens a minute each API key may take, of prompts and answers [default: any number]
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<NonZeroU32>,
    /// How many requests at once each API key may have [default: any number]
    #[arg(long, value_name = "N")]
    parallel_requests: Option<NonZeroU32>,
    /// Speak TLS, with the certificates in this PEM file, the server's own first; read again when it changes [default:
    /// serve.tls-cert of mxfp4.toml]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, a PEM file [default: serve.tls-key of mxfp4.toml]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let pages of this origin ask by a browser, as https://example.com, or * for all; may be given more than once
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<Origin>,
}

impl AccessArgs {
    /// Reads what they name, and refuses what would be without effect.
    pub fn read(&self, context: &Context, launch: &Launch) -> anyhow::Result<Access> {
        let config = &context.workspace.config.serve;
        // What the user names is relative to the current folder, what the configuration names to the workspace.
        let file = |given: &Option<PathBuf>, configured: Option<&Path>| match given {
            Some(path) => Some(context.cwd.join(path)),
            None => Some(context.workspace.root.join(configured?)),
        };
        let configured = |path: &'_ Option<mxfp4_env::config::AnyPath>| {
            path.as_ref().map(|path| path.as_ref().to_owned())
        };
        let source = KeySource {
            keys: self.api_key.clone(),
            file: file(
                &self.api_key_file,
                configured(&config.api_key_file).as_deref(),
            ),
            limits: self.limits(),
        };
        let files = [
            file(&self.tls_cert, configured(&config.tls_cert).as_deref()),
            file(&self.tls_key, configured(&config.tls_key).as_deref()),
        ];
        if launch.frontend == Frontend::Max {
            let is_used =
                self.is_used() || source.file.is_some() || files.iter().any(Option::is_some);
            return match is_used {
                true => Err(maxs_own().into()),
                false => Ok(Access::default()),
            };
        }
        let keys = Keys::new(source).map_err(|error| {
            let exit = match &error {
                KeysError::Key(_) => Exit::Usage,
                _ => Exit::Precondition,
            };
            Failure::new(exit, error.to_string())
        })?;
        Ok(Access {
            keys,
            metrics_without_key: self.metrics_without_key,
            tls: tls(files)?,
            origins: self.cors_origin.clone(),
            kept: Kept::default(),
        })
    }

    fn limits(&self) -> KeyLimits {
        KeyLimits {
            requests: self.requests_per_minute,
            tokens: self.tokens_per_minute,
            parallel: self.parallel_requests,
        }
    }

    fn is_used(&self) -> bool {
        !self.api_key.is_empty()
            || self.limits() != KeyLimits::default()
            || self.metrics_without_key
            || !self.cors_origin.is_empty()
    }
}

/// A warning where others reach the server and none needs a key.
pub fn warning(access: &Access, host: &str) -> Option<String> {
    if access.keys.is_required() || is_local(host) {
        return None;
    }
    Some(format!(
        "anyone who reaches {host} can use this server; set {} or give --api-key-file, or listen on 127.0.0.1",
        hidden_keys::VARIABLE
    ))
}

fn tls([certificate, key]: [Option<PathBuf>; 2]) -> anyhow::Result<Option<Tls>> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let tls = Tls::load(certificate, key);
            let tls = tls.map_err(|error| Failure::new(Exit::Precondition, error.to_string()))?;
            Ok(Some(tls))
        }
        (None, None) => Ok(None),
        _ => {
            let message = "mxfp4.toml has one of serve.tls-cert and serve.tls-key; TLS needs both";
            Err(Failure::new(Exit::Config, message).into())
        }
    }
}

/// Whether all addresses of a host are for this machine alone. An unknown one is complained of elsewhere.
fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    (bare, 0).to_socket_addrs().map_or(true, |mut all| {
        all.all(|address| address.ip().is_loopback())
    })
}

fn maxs_own() -> Failure {
    let message = format!(
        "MAX's own HTTP server knows no API keys, no limits for them, no TLS and no CORS: leave out --frontend max, or the flags \
         for these, {} and mxfp4.toml's serve.api-key-file, serve.tls-cert and serve.tls-key",
        hidden_keys::VARIABLE
    );
    Failure::new(Exit::Usage, message)
}
