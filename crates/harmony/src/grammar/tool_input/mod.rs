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
mod lark;
mod regex;
#[cfg(test)]
mod tests;

use serde_json::Value;

/// Why an input cannot be held to its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The regular expression cannot be read.
    #[error("the regular expression cannot be read: {0}")]
    Regex(String),
    /// It has what no grammar derives.
    #[error("{0} cannot be enforced in a regular expression; leave it out")]
    Look(&'static str),
    /// Its repetitions are too many.
    #[error("with its repetitions written out it has more than {most} characters; make it simpler")]
    Repeats {
        /// How many it may have.
        most: u64,
    },
    /// The grammar cannot be read.
    #[error("line {line} of the grammar: {problem}")]
    Lark {
        /// From 1 on.
        line: usize,
        /// What is wrong, or cannot be enforced.
        problem: String,
    },
    /// The grammar of the JSON would be too long.
    #[error("it is too large: as a grammar of JSON it has more than {most} bytes; make it simpler")]
    Large {
        /// How many it may have.
        most: usize,
    },
}

/// The most bytes of a grammar.
const MOST: usize = 256 << 10;

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
