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
mod manifest;
mod name;
mod pack;
mod partial;
mod parts;
mod tree;
mod unpack;

pub use digest::Digest;
pub use error::Error;
pub use manifest::{About, Entry, MANIFEST, Manifest, Mode, Part};
pub use name::Name;
pub use pack::{Beside, Pack, pack};
pub use tree::Tree;
pub use unpack::Bundle;

/// Refuses a place for [`pack()`] or [`Bundle::unpack`] that is not free, as they do themselves.
pub fn check_free(place: &std::path::Path) -> Result<(), Error> {
    partial::check_free(place)
}

/// Told how many bytes were worked on since the last time.
pub type Watch<'a> = &'a dyn Fn(u64);

/// Files are read and written in pieces of this size.
const PIECE: usize = 256 * 1024;

/// The name of the archive, whole; its parts have a number after it.
const ARCHIVE: &str = "bundle.tar.zst";

/// How far back the compression looks for what it has seen, as a power of two: what both sides need memory for.
const WINDOW_LOG: u32 = 24;

#[cfg(test)]
mod tests;
