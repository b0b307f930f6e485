//! Printing an environment: as code for a shell, as data, with its reasons.
//!
//! Code is made of two parts only: names, which are letters, digits and `_`, and
//! values, quoted by the one rule of the language. A value that the language
//! cannot express is refused by the variable's name.

mod dotenv;
mod fish;
mod github_actions;
mod nu;
mod powershell;
mod text;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Map, Value, json};

use crate::{Environment, Sdk, Workspace};

pub use self::dotenv::dotenv;
pub use self::fish::{fish, fish_quote};
pub use self::github_actions::github_actions;
pub use self::nu::{nu, nu_quote};
pub use self::powershell::powershell;

/// `export` and `unset` lines that sh, bash and zsh evaluate to exactly these values.
pub fn posix(environment: &Environment) -> Vec<u8> {
    let mut out = Vec::new();
    for variable in &environment.variables {
        let name = variable.name.as_bytes();
        match &variable.value {
            Some(value) => {
                out.extend_from_slice(b"export ");
                out.extend_from_slice(name);
                out.push(b'=');
                out.extend(posix_quote(value));
            }
            None => {
                out.extend_from_slice(b"unset ");
                out.extend_from_slice(name);
            }
        }
        out.push(b'\n');
    }
    out
}

/// `value` as one word of a POSIX shell.
///
/// Inside single quotes only the single quote itself means something, so it is
/// the only byte that needs care: there is no list of dangerous characters to keep.
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

/// One JSON object: each name with its value, `null` for one that must not be set.
///
/// JSON holds text only: a value that is not UTF-8 is `{"bytes": [...]}`.
pub fn json(environment: &Environment) -> String {
    let values: Map<String, Value> = environment
        .variables
        .iter()
        .map(|variable| (variable.name.clone(), json_value(variable.value.as_deref())))
        .collect();
    pretty(&Value::Object(values))
}

/// As [`json`], with the reasons, the warnings, and what the values follow from.
pub fn json_explained(
    workspace: &Workspace,
    sdk: Option<&Sdk>,
    environment: &Environment,
) -> String {
    let path = |path: &std::path::Path| json_value(Some(path.as_os_str()));
    let variables: Vec<Value> = environment
        .variables
        .iter()
        .map(|variable| {
            json!({
                "name": variable.name,
                "value": json_value(variable.value.as_deref()),
                "reason": variable.reason,
            })
        })
        .collect();
    let sdk = sdk.map(|sdk| {
        json!({
            "modular": path(&sdk.modular),
            "site": path(&sdk.site),
            "mojo": path(&sdk.mojo()),
            "python": sdk.python.as_deref().map(path),
            "source": sdk.source.to_string(),
        })
    });
    pretty(&json!({
        "root": path(&workspace.root),
        "layout": workspace.layout.to_string(),
        "sdk": sdk,
        "variables": variables,
        "warnings": environment.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

/// Each variable with its value and why it has it, for people.
pub fn explain(workspace: &Workspace, sdk: Option<&Sdk>, environment: &Environment) -> String {
    let mut out = String::new();
    let root = workspace.root.display();
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "workspace: {root} ({} layout)", workspace.layout);
    let _ = match sdk {
        Some(sdk) => writeln!(out, "SDK: {} ({})", sdk.site.display(), sdk.source),
        None => writeln!(out, "SDK: none"),
    };
    for variable in &environment.variables {
        let _ = match &variable.value {
            Some(value) => writeln!(
                out,
                "\n{}={}",
                variable.name,
                String::from_utf8_lossy(&posix_quote(value))
            ),
            None => writeln!(out, "\n{} (not set)", variable.name),
        };
        let _ = writeln!(out, "    {}", variable.reason);
    }
    out
}

fn json_value(value: Option<&OsStr>) -> Value {
    match value.map(|value| (value, value.to_str())) {
        None => Value::Null,
        Some((_, Some(text))) => text.into(),
        Some((value, None)) => json!({ "bytes": value.as_bytes() }),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests;
