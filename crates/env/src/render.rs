//! Printing an environment: for a POSIX shell, as JSON, with its reasons.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::Environment;

/// `export`/`unset` lines that any POSIX shell evaluates to exactly these values.
pub fn posix(environment: &Environment) -> Vec<u8> {
    let mut out = Vec::new();
    for variable in &environment.variables {
        match &variable.value {
            Some(value) => {
                out.extend_from_slice(b"export ");
                out.extend_from_slice(variable.name.as_bytes());
                out.push(b'=');
                out.extend(posix_quote(value));
            }
            None => {
                out.extend_from_slice(b"unset ");
                out.extend_from_slice(variable.name.as_bytes());
            }
        }
        out.push(b'\n');
    }
    out
}

/// `value` as one word of a POSIX shell.
///
/// Inside single quotes only the single quote itself means something, so it is
/// the only byte that needs care: no list of dangerous characters to keep.
pub fn posix_quote(value: &OsStr) -> Vec<u8> {
    let bytes = value.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+:,@%".contains(byte);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return bytes.to_vec();
    }
    let mut quoted = vec![b'\''];
    for &byte in bytes {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}
