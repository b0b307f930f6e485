//! What links programs.

use super::facts::Facts;
use super::finding::Finding;

/// Whether there is a `cc`: the one name that both Rust and Mojo look for.
pub fn linker(facts: &Facts) -> anyhow::Result<Finding> {
    Ok(match facts.program("cc") {
        Some(cc) => Finding::ok(cc.display().to_string()),
        None => Finding::failing(
            "cc is not on PATH",
            "install a C compiler: gcc or clang, with the link `cc` that distributions make (Debian: `apt install gcc \
             libc6-dev`)",
        ),
    })
}
