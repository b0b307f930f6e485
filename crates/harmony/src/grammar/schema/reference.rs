//! What references refer to.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::error::Problem;

/// What a reference within a schema refers to, and its place.
pub(super) fn resolve<'a>(
    root: &'a Value,
    reference: &str,
) -> Result<(&'a Value, String), Problem> {
    let Some(pointer) = reference.strip_prefix('#') else {
        return Err(Problem::Remote(excerpt(reference)));
    };
    let missing = || Problem::Missing(excerpt(reference));
    let pointer = percent_decode_str(pointer)
        .decode_utf8()
        .map_err(|_| missing())?;
    let target = root.pointer(&pointer).ok_or_else(missing)?;
    Ok((target, pointer.into_owned()))
}

/// A pointer in the form of a place, as `.$defs.a`.
pub(super) fn place(pointer: &str) -> String {
    let names = pointer.replace('/', ".");
    names.replace("~1", "/").replace("~0", "~")
}

/// What a client wrote, short enough to be sent back.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 64;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
