//! How this program asks a server: with a key, and by TLS; and one connection, whose answers may stream.

mod args;
mod ask;
mod connection;
mod error;
mod lost;
mod message;
mod server;
mod sse;
mod tls;
mod url;

pub use args::ClientArgs;
pub use ask::{is_healthy, post};
pub use connection::Connection;
pub use error::Error;
pub use lost::Lost;
pub use message::message;
pub use server::Server;
pub use sse::Events;
pub use url::{NoUrl, Url};
