//! How far a text is certain to be read as it is now, whatever comes after it.

use super::document::Document;
use super::line::{Line, Span, is_mark};

/// How many bytes markup may wait for its end. What waits longer is shown as it was written.
const LONGEST: usize = 512;

/// Up to where `source` can be shown.
pub fn until(source: &str, document: &Document) -> usize {
    let mut until = source.len();
    let begin = source.rfind('\n').map_or(0, |end| end + 1);
    let last = &source[begin..];
    if is_mark(last) {
        until = begin;
    }
    until = until.min(document.open_table.unwrap_or(until));
    let in_code = document.lines.last().is_some_and(|line| line.verbatim);
    if !in_code {
        until = until.min(before_table(source, begin));
    }
    if !source.ends_with("\n\n") {
        until = until.min(before_markup(source, document));
    }
    until
}

/// Where a table's head may begin whose second line has not come.
fn before_table(source: &str, begin: usize) -> usize {
    let last = &source[begin..];
    if begin > 0 && last.chars().all(|c| "|:- \t\r".contains(c)) {
        let before = &source[..begin - 1];
        let line = before.rfind('\n').map_or(0, |end| end + 1);
        if before[line..].contains('|') {
            return line;
        }
    }
    match last.contains('|') {
        true => begin,
        false => source.len(),
    }
}

/// Where markup of the last block begins that may have no end yet.
fn before_markup(source: &str, document: &Document) -> usize {
    let block = document.lines.last().map(|line| line.block);
    let in_block = |line: &&Line| Some(line.block) == block && !line.verbatim;
    let spans = document
        .lines
        .iter()
        .filter(in_block)
        .flat_map(|line| &line.spans);
    spans
        .filter(|span| span.is_plain && span.is_exact())
        .find_map(|span| opener(source, span))
        .unwrap_or(source.len())
}

/// The first character of a text that may open markup.
fn opener(source: &str, span: &Span) -> Option<usize> {
    let from = source.len().saturating_sub(LONGEST);
    if span.source.end <= from {
        return None;
    }
    span.text
        .char_indices()
        .map(|(at, c)| (span.source.start + at, c))
        .filter(|(at, _)| *at >= from)
        .find(|(at, c)| may_open(source, *at, *c))
        .map(|(at, _)| at)
}

fn may_open(source: &str, at: usize, c: char) -> bool {
    let before = source[..at].chars().next_back();
    if before == Some('\\') {
        return false;
    }
    let rest = &source[at..];
    let run = rest.len() - rest.trim_start_matches(c).len();
    let after = &rest[run..];
    let next = after.chars().next();
    match c {
        '`' => true,
        '*' | '~' => next.is_none_or(|next| !next.is_whitespace()),
        '_' => {
            let is_within = before.is_some_and(char::is_alphanumeric);
            next.is_none_or(|next| !next.is_whitespace()) && !is_within
        }
        '[' => match after.find(']') {
            None => true,
            Some(end) => matches!(
                after[end + 1..].chars().next(),
                None | Some('(' | '[' | ':')
            ),
        },
        '<' => next.is_none_or(|next| next.is_ascii_alphabetic() || "/!?".contains(next)),
        '&' => {
            let name = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '#');
            name.is_empty() && after.len() < 32
        }
        '\\' | '!' => next.is_none() || (c == '!' && next == Some('[')),
        _ => false,
    }
}
