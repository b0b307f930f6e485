use std::fmt::Write as _;

use super::text::{refusal, text};
use crate::{Environment, Error};

/// `NAME=value` lines of a `.env` file, as all its readers read them.
///
/// The readers agree about single quotes: nothing inside means anything, and a
/// line break is one. They do not about escapes, so that none is written, and what
/// would need one is refused. What must not be set cannot be said; it is a comment.
pub fn dotenv(environment: &Environment) -> Result<Vec<u8>, Error> {
    let mut out = String::new();
    for variable in &environment.variables {
        let name = &variable.name;
        // Writing to a `String` cannot fail.
        let _ = match &variable.value {
            None => writeln!(out, "# {name} must not be set"),
            Some(value) => {
                let known = text(name, value, "a .env file")?;
                let quoted =
                    quote(known).map_err(|what| refusal(name, value, what, "a .env file"))?;
                writeln!(out, "{name}={quoted}")
            }
        };
    }
    Ok(out.into_bytes())
}

fn quote(value: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:,@%".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        return Ok(value.into());
    }
    // Some readers expand it inside quotes of either kind.
    if value.contains("${") {
        return Err("`${`");
    }
    // python-dotenv takes two for one, and one before the quote for an escape.
    if value.contains("\\\\") || value.ends_with('\\') {
        return Err("two backslashes in a row, or one at its end");
    }
    if value.contains('\r') {
        return Err("a carriage return");
    }
    if !value.contains('\'') {
        return Ok(format!("'{value}'"));
    }
    match value.contains(['"', '\\', '$', '`', '\n', '!']) {
        false => Ok(format!("\"{value}\"")),
        true => Err("a single quote beside one of \" \\ $ ` ! or a line break"),
    }
}
