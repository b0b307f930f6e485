use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::Environment;

/// `set` lines that fish evaluates to exactly these values.
pub fn fish(environment: &Environment) -> Vec<u8> {
    let mut out = Vec::new();
    for variable in &environment.variables {
        let name = variable.name.as_bytes();
        match &variable.value {
            Some(value) => {
                out.extend_from_slice(b"set -gx ");
                out.extend_from_slice(name);
                out.push(b' ');
                out.extend(fish_quote(value));
            }
            None => {
                // Without an error where it is not set.
                out.extend_from_slice(b"set -q ");
                out.extend_from_slice(name);
                out.extend_from_slice(b"; and set -e ");
                out.extend_from_slice(name);
            }
        }
        out.push(b'\n');
    }
    out
}

/// `value` as one word of fish.
///
/// Inside its single quotes the backslash means something too. What is not UTF-8
/// stands outside of them, byte by byte: fish reads its code as text.
pub fn fish_quote(value: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for chunk in value.as_bytes().utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            if matches!(byte, b'\'' | b'\\') {
                quoted.push(b'\\');
            }
            quoted.push(byte);
        }
        if !chunk.invalid().is_empty() {
            quoted.push(b'\'');
            for byte in chunk.invalid() {
                quoted.extend(format!("\\X{byte:02x}").bytes());
            }
            quoted.push(b'\'');
        }
    }
    quoted.push(b'\'');
    quoted
}
