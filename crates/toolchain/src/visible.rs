//! Text that others write, for a terminal.

use std::borrow::Cow;

/// `text` in one line that a terminal shows and does not obey: each control character as its picture (`␛` for an
/// escape), and what reorders or breaks lines as a replacement character. One character becomes one character.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(|char| picture(char).is_none()) {
        return text.into();
    }
    text.chars()
        .map(|char| picture(char).unwrap_or(char))
        .collect()
}

/// The same for a text of several lines.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    if text.chars().all(|char| char == '\n' || !acts(char)) {
        return text.into();
    }
    text.chars()
        .map(|char| match char {
            '\n' => char,
            char => picture(char).unwrap_or(char),
        })
        .collect()
}

/// Whether a terminal would act on a character instead of showing it.
pub fn acts(char: char) -> bool {
    picture(char).is_some()
}

/// What stands for a character on which a terminal would act.
pub fn picture(char: char) -> Option<char> {
    match char {
        '\t' => None,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(char)),
        '\u{7f}' => Some('\u{2421}'),
        '\u{80}'..='\u{9f}' => Some(char::REPLACEMENT_CHARACTER),
        // Line separators, and what changes the direction of the text that follows.
        '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' => {
            Some(char::REPLACEMENT_CHARACTER)
        }
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => Some(char::REPLACEMENT_CHARACTER),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown() {
        assert_eq!(visible("a\tb ☃"), "a\tb ☃");
        assert_eq!(visible("\x1b[2Jx\r\n\x07"), "␛[2Jx␍␊␇");
        assert_eq!(visible("a\u{202e}b\u{9b}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(visible_lines("a\nb\x1bc\r\n"), "a\nb␛c␍\n");
    }
}
