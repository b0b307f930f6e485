//! Bundles: a tree of files in one folder that can be carried to another machine, in parts if need be.
//!
//! A bundle is a folder with a `manifest.json`, the parts of one compressed archive (`bundle.tar.zst`, which `cat`,
//! `zstd` and `tar` read too), and files that lie beside them as they are. The manifest names every part and every file
//! of the archive with its size and SHA-256. The same tree makes the same bytes.
//!
//! Both [`pack()`] and [`Bundle::unpack`] work aside and rename, so that what is there is whole. The checksums find
//! what went wrong on the way; they prove nothing about who made the bundle.

mod digest;
mod error;
mod fields;
mod format;
mod manifest;
mod name;
mod pack;
mod partial;
mod parts;
mod tree;
mod unpack;

pub use digest::Digest;
pub use error::Error;
pub use format::Watch;
pub use manifest::{About, Entry, MANIFEST, Manifest, Mode, Part};
pub use name::Name;
pub use pack::{Beside, Pack, pack};
pub use tree::Tree;
pub use unpack::Bundle;

/// Refuses a place for [`pack()`] or [`Bundle::unpack`] that is not free, as they do themselves.
pub fn check_free(place: &std::path::Path) -> Result<(), Error> {
    partial::check_free(place)
}

#[cfg(test)]
mod tests;
