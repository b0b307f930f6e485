//! The input of a tool that takes a text of a given form.
//!
//! The model calls it as a function whose one argument is that text, so what it writes is JSON. A
//! regular expression, or a grammar in lark's syntax, becomes a grammar of that JSON in xgrammar's
//! EBNF: what JSON escapes is escaped in it, in one way.
//!
//! Of lark's syntax: rules and terminals with alternatives, groups, `[…]`, `?`, `*`, `+`, `~`,
//! strings, ranges, regular expressions, aliases, comments, and `%import common.…` of
//! well-known terminals. There is no lexer: a text is derived character by character, and priorities
//! change nothing. `%ignore`, `%declare`, `%override`, `%extend`, other imports and templates are refused.

mod ebnf;
mod error;
mod lark;
mod regex;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub use error::InputError;
use error::MOST;

/// A grammar of the object whose one member, `argument`, is a text that a regular expression in
/// Rust's syntax matches as a whole.
pub fn of_regex(pattern: &str, argument: &str) -> Result<String, InputError> {
    let text = regex::grammar(pattern)?;
    object(argument, &format!("text ::= {text}\n"), "text")
}

/// A grammar of the object whose one member, `argument`, is a text of a grammar in lark's syntax,
/// which `start` derives.
pub fn of_lark(grammar: &str, argument: &str) -> Result<String, InputError> {
    let (rules, start) = lark::grammar(grammar)?;
    object(argument, &rules, &start)
}

fn object(argument: &str, rules: &str, text: &str) -> Result<String, InputError> {
    let name = Value::from(argument).to_string();
    let open = ebnf::quoted(&format!("{{{name}:"));
    let whole = format!(
        "root ::= {open} [ ]? {quote} {text} {close}\n{rules}",
        quote = ebnf::quoted("\""),
        close = ebnf::quoted("\"}"),
    );
    if whole.len() > MOST {
        return Err(InputError::Large { most: MOST });
    }
    Ok(whole)
}
