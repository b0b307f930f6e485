use std::fmt::Write as _;

use super::text::{refusal, text};
use crate::{Environment, Error};

/// `$env:` lines for PowerShell.
pub fn powershell(environment: &Environment) -> Result<Vec<u8>, Error> {
    let mut out = String::new();
    for variable in &environment.variables {
        let name = &variable.name;
        // Writing to a `String` cannot fail.
        let _ = match &variable.value {
            None => writeln!(
                out,
                "Remove-Item -LiteralPath Env:{name} -ErrorAction Ignore"
            ),
            Some(value) if value.is_empty() => {
                return Err(refusal(name, value, "nothing in it", "PowerShell"));
            }
            Some(value) => {
                let value = text(name, value, "PowerShell")?;
                writeln!(out, "$env:{name} = {}", quote(value))
            }
        };
    }
    Ok(out.into_bytes())
}

/// `value` as an expression: in single quotes only these mean something, of which
/// PowerShell knows five. Line breaks and other control characters are given by
/// their number, for the code may pass through a pipe that changes them.
fn quote(value: &str) -> String {
    let mut quoted = String::from('\'');
    for char in value.chars() {
        match char {
            '\'' | '\u{2018}'..='\u{201b}' => quoted.extend([char, char]),
            _ if char.is_control() => {
                let _ = write!(quoted, "' + [char]{} + '", u32::from(char));
            }
            _ => quoted.push(char),
        }
    }
    quoted.push('\'');
    quoted
}
