//! Bytes to whole characters.

/// What stands for bytes that are no character.
const REPLACEMENT: &str = "\u{FFFD}";

/// Holds back the bytes of a character until it is whole.
#[derive(Debug, Default)]
pub(super) struct Characters {
    pending: Vec<u8>,
}

impl Characters {
    /// Gives the characters that are whole by these bytes. Bytes that are no UTF-8 become
    /// U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8], mut give: impl FnMut(&str)) {
        let mut rest = bytes;
        if !self.pending.is_empty() {
            self.pending.extend_from_slice(bytes);
            rest = &self.pending;
        }
        loop {
            match std::str::from_utf8(rest) {
                Ok("") => break,
                Ok(text) => {
                    give(text);
                    rest = &[];
                }
                Err(error) => {
                    let (valid, other) = rest.split_at(error.valid_up_to());
                    if let Ok(text) = std::str::from_utf8(valid)
                        && !text.is_empty()
                    {
                        give(text);
                    }
                    rest = other;
                    let Some(wrong) = error.error_len() else {
                        break;
                    };
                    give(REPLACEMENT);
                    rest = &other[wrong..];
                }
            }
        }
        if !(rest.is_empty() && self.pending.is_empty()) {
            self.pending = rest.to_vec();
        }
    }

    /// The text ends. What is held back is no character.
    pub(super) fn finish(&mut self) -> Option<&'static str> {
        let cut = !self.pending.is_empty();
        self.pending.clear();
        cut.then_some(REPLACEMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of bytes that come in pieces of this length.
    fn read(bytes: &[u8], length: usize) -> String {
        let (mut characters, mut text) = (Characters::default(), String::new());
        for piece in bytes.chunks(length) {
            characters.push(piece, |whole| {
                assert!(!whole.is_empty());
                text.push_str(whole);
            });
        }
        text.extend(characters.finish());
        text
    }

    #[test]
    fn pieces_of_any_length_give_the_text() {
        let all: [&[u8]; 5] = [
            "aé你🙂".as_bytes(),
            b"\xFF\xFEa\xC3",
            b"\xF0\x9F\x99",
            b"\xE4\xBDx",
            b"a\xED\xA0\x80\xF0\x9F\x99\x82",
        ];
        for bytes in all {
            for length in 1..=bytes.len() {
                assert_eq!(read(bytes, length), String::from_utf8_lossy(bytes));
            }
        }
    }
}
