use std::fmt::Write as _;

use super::text::text;
use crate::{Environment, Error};

/// `load-env` and `hide-env` lines for nu. PATH becomes a list, as it is there.
///
/// nu has no way to evaluate text: it is saved to a file and sourced.
pub fn nu(environment: &Environment) -> Result<Vec<u8>, Error> {
    let mut out = String::new();
    for variable in &environment.variables {
        let name = &variable.name;
        // Writing to a `String` cannot fail.
        let _ = match &variable.value {
            // Of a variable that nu was started with and that was set since, the
            // first takes away the later value only.
            None => writeln!(
                out,
                "hide-env --ignore-errors {name}\nhide-env --ignore-errors {name}"
            ),
            Some(value) => {
                let value = text(name, value, "nu")?;
                let value = match name.as_str() {
                    "PATH" => {
                        let entries: Vec<String> = value.split(':').map(nu_quote).collect();
                        format!("[{}]", entries.join(" "))
                    }
                    _ => nu_quote(value),
                };
                writeln!(out, "load-env {{{name}: {value}}}")
            }
        };
    }
    Ok(out.into_bytes())
}

/// `value` as a word of nu: in double quotes only the double quote and the
/// backslash mean something.
pub fn nu_quote(value: &str) -> String {
    let mut quoted = String::from('"');
    for char in value.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            _ if char.is_control() => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(char));
            }
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}
