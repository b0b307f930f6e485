//! What both who packs and who unpacks goes by.

/// Told how many bytes were worked on since the last time.
pub type Watch<'a> = &'a dyn Fn(u64);

/// Files are read and written in pieces of this size.
pub(crate) const PIECE: usize = 256 * 1024;

/// The name of the archive, whole; its parts have a number after it.
pub(crate) const ARCHIVE: &str = "bundle.tar.zst";

/// How far back the compression looks for what it has seen, as a power of two: what both sides need memory for.
pub(crate) const WINDOW_LOG: u32 = 24;
