//! Lines before they are wrapped, and what they are made of.

use std::ops::Range;

use anstyle::{AnsiColor, Style};

/// Code.
pub const CODE: Style = AnsiColor::Cyan.on_default();
/// What is not the model's text: bullets, rules, bars, addresses of links.
pub const MARK: Style = Style::new().dimmed();

/// A line of the text, before it is wrapped.
#[derive(Debug, Default)]
pub struct Line {
    /// Where it begins, and which one of those that begin there it is.
    pub id: (usize, usize),
    /// Whether a blank line is before it.
    pub gap: bool,
    /// What it begins with.
    pub first: Vec<(char, Style)>,
    /// What its continuations begin with.
    pub rest: Vec<(char, Style)>,
    /// Whether it is shown as it is.
    pub verbatim: bool,
    /// Whether it is shown at once or not at all.
    pub is_whole: bool,
    /// Which block it is of.
    pub block: usize,
    /// Its text.
    pub spans: Vec<Span>,
}

/// Text in one style.
#[derive(Debug)]
pub struct Span {
    /// Where it comes from.
    pub source: Range<usize>,
    /// How it is shown.
    pub text: String,
    /// How it looks.
    pub style: Style,
    /// Whether markup may be hidden in it that is not complete yet.
    pub is_plain: bool,
}

impl Span {
    /// Whether each byte of the text is one of the source.
    pub fn is_exact(&self) -> bool {
        self.source.len() == self.text.len()
    }
}

/// Whether a line may yet become the mark of a block: of a list, a heading, a fence, a rule.
pub fn is_mark(line: &str) -> bool {
    line.chars()
        .all(|c| c.is_ascii_digit() || c.is_ascii_whitespace() || "#*+-_=`~>.)|:".contains(c))
}
