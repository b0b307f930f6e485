//! Grammars in lark's syntax as EBNF.

use std::collections::{BTreeMap, BTreeSet};

use super::ebnf;
use super::error::{InputError, MOST};
use super::regex::{self, times};

/// The deepest that groups nest.
const DEEPEST: usize = 64;

/// How often something may stand by `~`.
const MOST_TIMES: u32 = 1000;

/// Terminals that `%import common.…` brings, as regular expressions.
const COMMON: &[(&str, &str)] = &[
    ("LF", r"\n"),
    ("CR", r"\r"),
    ("NEWLINE", r"(\r?\n)+"),
    ("WS", r"[ \t\f\r\n]+"),
    ("WS_INLINE", r"[ \t]+"),
    ("DIGIT", r"[0-9]"),
    ("HEXDIGIT", r"[0-9a-fA-F]"),
    ("INT", r"[0-9]+"),
    ("SIGNED_INT", r"[+-]?[0-9]+"),
    ("DECIMAL", r"[0-9]+\.[0-9]*|\.[0-9]+"),
    (
        "FLOAT",
        r"[0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?",
    ),
    (
        "SIGNED_FLOAT",
        r"[+-]?([0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)",
    ),
    (
        "NUMBER",
        r"[0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[0-9]+",
    ),
    (
        "SIGNED_NUMBER",
        r"[+-]?([0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[0-9]+)",
    ),
    ("LCASE_LETTER", r"[a-z]"),
    ("UCASE_LETTER", r"[A-Z]"),
    ("LETTER", r"[a-zA-Z]"),
    ("WORD", r"[a-zA-Z]+"),
    ("CNAME", r"[_a-zA-Z][_a-zA-Z0-9]*"),
    ("ESCAPED_STRING", r#""([^"\\\n]|\\[^\n])*""#),
];

/// The rules, and the name of the first.
pub(super) fn grammar(text: &str) -> Result<(String, String), InputError> {
    let mut parser = Parser {
        rest: text,
        line: 1,
        depth: 0,
        rules: BTreeMap::new(),
        used: BTreeMap::new(),
        size: 0,
    };
    while parser.statement()? {}
    parser.finish()
}

struct Parser<'t> {
    rest: &'t str,
    line: usize,
    depth: usize,
    /// What each name derives.
    rules: BTreeMap<String, String>,
    /// Names, and where each is used first.
    used: BTreeMap<String, usize>,
    size: usize,
}

impl<'t> Parser<'t> {
    fn error(&self, problem: impl Into<String>) -> InputError {
        InputError::Lark {
            line: self.line,
            problem: problem.into(),
        }
    }

    /// Skips blanks and comments; line breaks too where `lines`.
    fn skip(&mut self, lines: bool) {
        loop {
            let rest = self.rest.trim_start_matches([' ', '\t', '\r']);
            if rest.starts_with("//") {
                let end = rest.find('\n').unwrap_or(rest.len());
                self.rest = &rest[end..];
            } else if lines && rest.starts_with('\n') {
                self.line += 1;
                self.rest = &rest[1..];
            } else {
                self.rest = rest;
                return;
            }
        }
    }

    fn take(&mut self, word: &str) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> Option<&'t str> {
        let is_first = |char: char| char.is_ascii_alphabetic() || char == '_';
        if !self.rest.starts_with(is_first) {
            return None;
        }
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let end = self.rest.find(|char| !is_word(char));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Some(word)
    }

    fn number(&mut self) -> Option<u32> {
        let end = self.rest.find(|char: char| !char.is_ascii_digit());
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let number = digits.parse().ok()?;
        self.rest = rest;
        Some(number)
    }

    /// Reads a rule, a terminal or an import; false at the end.
    fn statement(&mut self) -> Result<bool, InputError> {
        self.skip(true);
        if self.rest.is_empty() {
            return Ok(false);
        }
        if self.take("%") {
            self.directive()?;
        } else {
            self.rule()?;
        }
        self.skip(false);
        if self.rest.is_empty() || self.rest.starts_with('\n') {
            return Ok(true);
        }
        let found: String = self.rest.chars().take(16).collect();
        Err(self.error(format!("a line cannot go on with {found:?}")))
    }

    fn directive(&mut self) -> Result<(), InputError> {
        let name = self.word().unwrap_or_default();
        if name != "import" {
            return Err(self.error(format!(
                "%{name} cannot be enforced; say in the rules what may stand where"
            )));
        }
        self.skip(false);
        if !self.take("common.") {
            if !self.take("common") {
                return Err(self.error("only `%import common.NAME` is known here"));
            }
            self.skip(false);
            return self.imports();
        }
        let name = self.word().unwrap_or_default();
        self.skip(false);
        let alias = match self.take("->") {
            true => {
                self.skip(false);
                self.word()
            }
            false => None,
        };
        self.import(name, alias.unwrap_or(name))
    }

    /// `(NAME, NAME)`
    fn imports(&mut self) -> Result<(), InputError> {
        if !self.take("(") {
            return Err(self.error("only `%import common.NAME` is known here"));
        }
        loop {
            self.skip(true);
            let name = self.word().unwrap_or_default();
            self.import(name, name)?;
            self.skip(true);
            if self.take(")") {
                return Ok(());
            }
            if !self.take(",") {
                return Err(self.error("`,` or `)` is missing"));
            }
        }
    }

    fn import(&mut self, name: &str, alias: &str) -> Result<(), InputError> {
        let known = COMMON.iter().find(|(known, _)| *known == name);
        let Some((_, pattern)) = known else {
            return Err(self.error(format!("common has no {name:?} that is known here")));
        };
        let derived = regex::grammar(pattern)?;
        self.define(alias, derived)
    }

    fn define(&mut self, name: &str, derived: String) -> Result<(), InputError> {
        self.size += derived.len();
        if self.size > MOST {
            return Err(InputError::Large { most: MOST });
        }
        match self.rules.insert(name.to_owned(), derived) {
            None => Ok(()),
            Some(_) => Err(self.error(format!("{name:?} is defined twice"))),
        }
    }

    fn rule(&mut self) -> Result<(), InputError> {
        while self.take("?") || self.take("!") {}
        let Some(name) = self.word() else {
            return Err(self.error("the name of a rule is missing"));
        };
        if self.rest.starts_with('{') {
            return Err(self.error("templates are not known here; write the rule out"));
        }
        if self.take(".") {
            // A priority: which of several derivations is meant changes no text.
            self.take("-");
            self.number();
        }
        self.skip(true);
        if !self.take(":") {
            return Err(self.error(format!("`:` is missing after {name:?}")));
        }
        let derived = self.alternatives()?;
        self.define(name, derived)
    }

    fn alternatives(&mut self) -> Result<String, InputError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(format!("groups nest more than {DEEPEST} deep")));
        }
        let mut ways = vec![self.sequence()?];
        while self.goes_on() {
            ways.push(self.sequence()?);
        }
        self.depth -= 1;
        Ok(ways.join(" | "))
    }

    /// Whether another alternative follows, on this line or on the next.
    fn goes_on(&mut self) -> bool {
        let (rest, line) = (self.rest, self.line);
        self.skip(true);
        if self.take("|") {
            return true;
        }
        if self.depth > 1 {
            // Inside brackets a line break says nothing.
            return false;
        }
        (self.rest, self.line) = (rest, line);
        false
    }

    fn sequence(&mut self) -> Result<String, InputError> {
        let mut parts = Vec::new();
        loop {
            self.skip(self.depth > 1);
            if self.take("->") {
                self.skip(false);
                self.word();
                break;
            }
            let Some(atom) = self.atom()? else {
                break;
            };
            parts.push(self.repeated(atom)?);
        }
        match parts.is_empty() {
            true => Ok("\"\"".to_owned()),
            false => Ok(parts.join(" ")),
        }
    }

    fn repeated(&mut self, atom: String) -> Result<String, InputError> {
        for (sign, min, max) in [("*", 0, None), ("+", 1, None), ("?", 0, Some(1))] {
            if self.take(sign) {
                return Ok(format!("({atom}){}", times(min, max)));
            }
        }
        let (rest, line) = (self.rest, self.line);
        self.skip(false);
        if !self.take("~") {
            (self.rest, self.line) = (rest, line);
            return Ok(atom);
        }
        self.skip(false);
        let missing = "a number is missing after `~`";
        let min = self.number().ok_or_else(|| self.error(missing))?;
        let max = match self.take("..") {
            true => self.number().ok_or_else(|| self.error(missing))?,
            false => min,
        };
        if max > MOST_TIMES {
            return Err(self.error(format!("{max} is more than {MOST_TIMES}")));
        }
        if max < min {
            return Err(self.error(format!("{min} is more than {max}")));
        }
        Ok(format!("({atom}){}", times(min, Some(max))))
    }

    fn atom(&mut self) -> Result<Option<String>, InputError> {
        if self.take("(") {
            let inside = self.alternatives()?;
            return self.closed(")", format!("({inside})")).map(Some);
        }
        if self.take("[") {
            let inside = self.alternatives()?;
            return self.closed("]", format!("({inside})?")).map(Some);
        }
        if self.rest.starts_with('"') {
            return self.string().map(Some);
        }
        if self.rest.starts_with('/') {
            return self.regex().map(Some);
        }
        let Some(name) = self.word() else {
            return Ok(None);
        };
        if self.rest.starts_with('{') {
            return Err(self.error("templates are not known here; write the rule out"));
        }
        self.used.entry(name.to_owned()).or_insert(self.line);
        Ok(Some(rule_name(name)))
    }

    fn closed(&mut self, bracket: &str, inside: String) -> Result<String, InputError> {
        self.skip(true);
        match self.take(bracket) {
            true => Ok(inside),
            false => Err(self.error(format!("`{bracket}` is missing"))),
        }
    }

    /// A string, or a range of characters between two.
    fn string(&mut self) -> Result<String, InputError> {
        let first = self.quoted()?;
        if self.take("..") {
            if !self.rest.starts_with('"') {
                return Err(self.error("a range ends with a string"));
            }
            let last = self.quoted()?;
            let one = |text: &str| {
                let mut chars = text.chars();
                chars.next().filter(|_| chars.next().is_none())
            };
            return match (one(&first), one(&last)) {
                (Some(first), Some(last)) if first <= last => Ok(ebnf::class([(first, last)])),
                _ => Err(self.error("a range is between two characters, the lower first")),
            };
        }
        if self.take("i") {
            let pattern = format!("(?i:{})", regex_syntax::escape(&first));
            return regex::grammar(&pattern);
        }
        Ok(ebnf::literal(&first))
    }

    /// A text in quotes, whose escapes are those of Python.
    fn quoted(&mut self) -> Result<String, InputError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\n' => break,
                '\\' => match chars.next().map(|(_, char)| char) {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some('f') => text.push('\u{c}'),
                    Some(letter @ ('x' | 'u' | 'U')) => {
                        let digits = match letter {
                            'x' => 2,
                            'u' => 4,
                            _ => 8,
                        };
                        let digits: String =
                            chars.by_ref().take(digits).map(|(_, char)| char).collect();
                        let code = u32::from_str_radix(&digits, 16)
                            .ok()
                            .and_then(char::from_u32);
                        let Some(code) = code else {
                            return Err(self.error(format!("\\{letter}{digits} is no character")));
                        };
                        text.push(code);
                    }
                    Some(other) if other.is_ascii_punctuation() => text.push(other),
                    Some(other) => return Err(self.error(format!("\\{other} is no escape"))),
                    None => break,
                },
                _ => text.push(char),
            }
        }
        Err(self.error("a string has no end"))
    }

    /// `/pattern/flags`
    fn regex(&mut self) -> Result<String, InputError> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, char)| {
            let ends = *char == '/' && !escaped || *char == '\n';
            escaped = *char == '\\' && !escaped;
            ends
        });
        let Some((end, '/')) = end else {
            return Err(self.error("a regular expression has no end"));
        };
        let pattern = self.rest[1..end].replace("\\/", "/");
        self.rest = &self.rest[end + 1..];
        let known = self.rest.find(|char: char| !"imsux".contains(char));
        let (flags, rest) = self.rest.split_at(known.unwrap_or(self.rest.len()));
        self.rest = rest;
        let pattern = match flags.is_empty() {
            true => pattern,
            false => format!("(?{flags}:{pattern})"),
        };
        regex::grammar(&pattern).map_err(|error| self.error(error.to_string()))
    }

    fn finish(self) -> Result<(String, String), InputError> {
        let used = self.used.iter();
        if let Some((name, line)) = used
            .clone()
            .find(|(name, _)| !self.rules.contains_key(*name))
        {
            return Err(InputError::Lark {
                line: *line,
                problem: format!("{name:?} is not defined"),
            });
        }
        if !self.rules.contains_key("start") {
            return Err(InputError::Lark {
                line: self.line,
                problem: "there is no rule `start`".to_owned(),
            });
        }
        let mut names: BTreeSet<&str> = used.map(|(name, _)| &**name).collect();
        names.insert("start");
        let mut rules = String::new();
        for name in names {
            let derived = &self.rules[name];
            rules.push_str(&format!("{} ::= {derived}\n", rule_name(name)));
        }
        Ok((rules, rule_name("start")))
    }
}

/// Names of EBNF are apart from those that stand around the text.
fn rule_name(name: &str) -> String {
    format!("r_{name}")
}
