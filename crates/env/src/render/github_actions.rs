use std::fmt::Write as _;

use super::text::{refusal, text};
use crate::{Environment, Error};

/// What a step of GitHub Actions appends to the file that `GITHUB_ENV` names.
///
/// What must not be set is set to nothing: a step cannot unset a variable for the
/// ones after it.
pub fn github_actions(environment: &Environment) -> Result<Vec<u8>, Error> {
    let mut out = String::new();
    for variable in &environment.variables {
        let name = &variable.name;
        let value = variable.value.as_deref().unwrap_or_default();
        let known = text(name, value, "GITHUB_ENV")?;
        if known.contains('\r') {
            return Err(refusal(name, value, "a carriage return", "GITHUB_ENV"));
        }
        let end = delimiter(known);
        // Writing to a `String` cannot fail.
        let _ = writeln!(out, "{name}<<{end}\n{known}\n{end}");
    }
    Ok(out.into_bytes())
}

/// A word that does not occur in `value`, so that no value ends before its end and
/// goes on to set another variable.
fn delimiter(value: &str) -> String {
    let mut word = String::from("MXFP4_END");
    while value.contains(&word) {
        word.push('_');
    }
    word
}
