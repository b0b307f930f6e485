//! What a pattern has that xgrammar's grammars cannot enforce.

use super::error::Problem;

/// Refuses what xgrammar refuses, or takes and does not enforce: it ignores `^` and `$` that
/// stand elsewhere than at the ends. Whether the pattern is one is for xgrammar to say.
pub(super) fn check(pattern: &str) -> Result<(), Problem> {
    let mut place = Place::start(true);
    let mut around = Vec::new();
    let mut in_class = false;
    let mut rest = pattern;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        match char {
            _ if in_class && char != '\\' => in_class = char != ']',
            '(' => {
                rest = group(rest)?;
                around.push(place.group()?);
            }
            ')' => {
                place = around
                    .pop()
                    .map_or(place, |around: Place| around.closed(place))
            }
            '|' => place.next_alternative(),
            '^' if place.at_start => {}
            '^' => return Err(Problem::Pattern("`^` that is not at its beginning")),
            '$' => place.at_end = true,
            _ => {
                place.text()?;
                if char == '\\' {
                    rest = escape(rest, in_class)?;
                } else {
                    in_class = char == '[';
                }
            }
        }
    }
    Ok(())
}

/// Where in a group, or in the whole, a pattern is read.
#[derive(Clone, Copy)]
struct Place {
    /// Whether the group stands at the beginning.
    group_at_start: bool,
    /// Whether nothing stands before, in this alternative.
    at_start: bool,
    /// Whether nothing may follow, in this alternative.
    at_end: bool,
    /// Whether nothing may follow the group.
    group_at_end: bool,
}

impl Place {
    fn start(group_at_start: bool) -> Self {
        Self {
            group_at_start,
            at_start: group_at_start,
            at_end: false,
            group_at_end: false,
        }
    }

    /// A group begins here; returns the place around it.
    fn group(&mut self) -> Result<Self, Problem> {
        let at_start = self.at_start;
        self.text()?;
        let around = *self;
        *self = Self::start(at_start);
        Ok(around)
    }

    /// The place behind a group.
    fn closed(mut self, group: Self) -> Self {
        self.at_end |= group.at_end || group.group_at_end;
        self
    }

    fn next_alternative(&mut self) {
        self.group_at_end |= self.at_end;
        (self.at_start, self.at_end) = (self.group_at_start, false);
    }

    fn text(&mut self) -> Result<(), Problem> {
        self.at_start = false;
        if self.at_end {
            return Err(Problem::Pattern("`$` that is not at its end"));
        }
        Ok(())
    }
}

/// What follows an escape.
fn escape(rest: &str, in_class: bool) -> Result<&str, Problem> {
    let Some(escaped) = rest.chars().next() else {
        return Ok(rest);
    };
    match refused_escape(escaped, in_class) {
        Some(what) => Err(Problem::Pattern(what)),
        None => Ok(&rest[escaped.len_utf8()..]),
    }
}

fn refused_escape(escaped: char, in_class: bool) -> Option<&'static str> {
    match escaped {
        'b' | 'B' if !in_class => Some("a word boundary (`\\b`)"),
        'p' | 'P' => Some("a Unicode property (`\\p`)"),
        '1'..='9' | 'k' if !in_class => Some("a reference to a group"),
        _ => None,
    }
}

/// What follows the sign of a group.
fn group(after: &str) -> Result<&str, Problem> {
    let Some(sign) = after.strip_prefix('?') else {
        return Ok(after);
    };
    if sign.starts_with("=") || sign.starts_with("!") {
        return Err(Problem::Pattern("a lookahead"));
    }
    if sign.starts_with("<=") || sign.starts_with("<!") {
        return Err(Problem::Pattern("a lookbehind"));
    }
    if let Some(rest) = sign.strip_prefix(':') {
        return Ok(rest);
    }
    match sign.strip_prefix('<').and_then(|name| name.split_once('>')) {
        Some((_, rest)) => Ok(rest),
        None => Err(Problem::Pattern("a group that changes flags")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_enforced_is_taken() {
        for pattern in [
            "",
            "a",
            "^a$",
            "^a",
            "a$",
            "^(a|b)$",
            "(^a)",
            "(^a$)|(^b$)",
            "^a|b$",
            "[^a$]",
            "a\\$b",
            "\\^",
            "(?:a)+",
            "(?<year>\\d{4})",
            "[\\b]",
            "\\d\\w\\s",
            "é",
            "^^a",
            "(",
            "[",
            "\\",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn what_is_not_is_named() {
        for (pattern, what) in [
            ("^(?=a)b", "a lookahead"),
            ("(?!a)b", "a lookahead"),
            ("(?<=a)b", "a lookbehind"),
            ("(?<!a)b", "a lookbehind"),
            ("\\bfoo", "a word boundary (`\\b`)"),
            ("\\p{L}", "a Unicode property (`\\p`)"),
            ("(a)\\1", "a reference to a group"),
            ("(?i)a", "a group that changes flags"),
            ("(?P<n>a)", "a group that changes flags"),
            ("a^b", "`^` that is not at its beginning"),
            ("a$b", "`$` that is not at its end"),
            ("(a$)b", "`$` that is not at its end"),
            ("a(^b)", "`^` that is not at its beginning"),
            ("a$(b)", "`$` that is not at its end"),
            ("a$*", "`$` that is not at its end"),
            ("a(b|^c)", "`^` that is not at its beginning"),
            ("(a$|b)c", "`$` that is not at its end"),
            ("(a|b$)c", "`$` that is not at its end"),
            ("[a]b^", "`^` that is not at its beginning"),
            ("[\\]]^", "`^` that is not at its beginning"),
        ] {
            assert_eq!(check(pattern), Err(Problem::Pattern(what)), "{pattern}");
        }
    }
}
