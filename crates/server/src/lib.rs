//! The HTTP front end: OpenAI's interface, and Anthropic's, before an engine.
//!
//! [`Server::bind`] opens the port at once and answers that the model is not loaded.
//! [`Server::ready`] gives it an engine and a vocabulary, [`Server::drain`] ends it.
//!
//! A request's way: a connection (`connection`), its path (`routes`), what it means
//! (`request`, on `json`), the engine, and what comes back (`answer`).

mod answer;
mod api_error;
mod app;
mod auth;
mod body;
mod config;
mod connection;
mod cors;
mod descriptors;
mod engine_metrics;
mod error;
mod json;
mod messages;
mod metrics;
mod page;
mod record;
mod request;
mod request_id;
mod responses;
mod route;
mod routes;
mod seal;
mod server;
mod serving;
mod signal;
mod store;
mod tls;
mod version;

pub use auth::{KeyFault, KeyLimits, KeySource, Keys, KeysError, Secret};
pub use config::{Config, Date, Limits};
pub use cors::{NoOrigin, Origin};
pub use error::BindError;
pub use seal::{NoSealKey, SealKey};
pub use server::{Drained, Server};
pub use store::{Store, StoreError, StoreLimits};
pub use tls::{Tls, TlsError};
