//! Who may ask, and how much: keys, and what each may take.

mod digest;
mod error;
mod gate;
mod key_file;
mod keys;
mod limits;
mod meter;
mod rate_headers;
mod secret;

pub use error::{KeyFault, KeysError};
pub(crate) use gate::{MayEnter, gate};
pub(crate) use key_file::is_open;
pub(crate) use keys::KeyId;
pub use keys::{KeySource, Keys};
pub use limits::KeyLimits;
pub(crate) use meter::{Permit, Refused};
pub(crate) use rate_headers::names as rate_header_names;
pub use secret::Secret;
