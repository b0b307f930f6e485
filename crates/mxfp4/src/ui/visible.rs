//! Text that others write, for a terminal.

/// Whether a terminal would act on a character instead of showing it.
pub fn acts(c: char) -> bool {
    // Marks of writing direction show a text other than it is.
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\t') || turns
}

/// The line with what would act on a terminal made visible: clients decide what some lines hold.
pub fn visible(line: &str) -> String {
    escaped(line, acts)
}

/// The same for a text of several lines.
pub fn visible_lines(text: &str) -> String {
    escaped(text, |c| c != '\n' && acts(c))
}

fn escaped(text: &str, acts: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown() {
        assert_eq!(visible("a\tb ☃"), "a\tb ☃");
        assert_eq!(visible("\x1b[2Jx\r\n\x07"), "\\u{1b}[2Jx\\r\\n\\u{7}");
        assert_eq!(visible("a\u{202e}b\u{9b}"), "a\\u{202e}b\\u{9b}");
        assert_eq!(visible_lines("a\nb\x1bc\r\n"), "a\nb\\u{1b}c\\r\n");
    }
}
