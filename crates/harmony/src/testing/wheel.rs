//! The vocabulary inside the Python wheel `oss-harmony`.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Of `o200k_base.tiktoken`, which OpenAI publishes and all its libraries check.
const SHA256: &str = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d";

/// How a zstd frame begins.
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// The longest file worth unpacking, in bytes; the vocabulary has 3.6 million.
const LONGEST: u64 = 16 << 20;

/// The text of `o200k_base.tiktoken` out of the wheel that is installed in a Python
/// environment, or why there is none.
///
/// The wheel's library carries its vocabularies as zstd frames. The right one is known by
/// its hash.
pub fn ranks_in_wheel(environment: &Path) -> Result<String, String> {
    let library = library(environment).ok_or_else(|| {
        format!(
            "{} has no Python package oss-harmony",
            environment.display()
        )
    })?;
    let bytes = std::fs::read(&library)
        .map_err(|error| format!("cannot read {}: {error}", library.display()))?;
    frames(&bytes)
        .filter_map(unpacked)
        .find(|text| format!("{:x}", HexDigest(Sha256::digest(text).as_slice())) == SHA256)
        .and_then(|text| String::from_utf8(text).ok())
        .ok_or_else(|| format!("{} carries no o200k_base.tiktoken", library.display()))
}

/// The wheel's library in an environment.
fn library(environment: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(environment.join("lib")).ok()?;
    versions
        .flatten()
        .map(|python| python.path().join("site-packages/openai_harmony"))
        .filter_map(|package| std::fs::read_dir(package).ok())
        .flat_map(|files| files.flatten().map(|file| file.path()))
        .find(|file| file.extension().is_some_and(|extension| extension == "so"))
}

/// All places where a zstd frame may begin.
fn frames(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..bytes.len())
        .map(|at| &bytes[at..])
        .filter(|rest| rest.starts_with(&ZSTD))
}

/// One frame's content. What follows the frame is not looked at.
fn unpacked(frame: &[u8]) -> Option<Vec<u8>> {
    let decoder = zstd::Decoder::with_buffer(frame).ok()?.single_frame();
    let mut content = Vec::new();
    decoder.take(LONGEST).read_to_end(&mut content).ok()?;
    Some(content)
}

/// Bytes as hexadecimal digits.
struct HexDigest<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexDigest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
