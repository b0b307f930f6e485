//! Characters out of bytes that come in pieces.

/// Puts characters together whose bytes come in pieces.
#[derive(Default)]
pub(crate) struct Utf8 {
    /// The beginning of a character.
    begun: Vec<u8>,
}

impl Utf8 {
    /// Tells the characters that are whole. What begins none becomes U+FFFD.
    pub(crate) fn push(&mut self, bytes: &[u8], tell: &mut impl FnMut(&str)) {
        if self.begun.is_empty() {
            let rest = chunks(bytes, tell);
            self.begun.extend_from_slice(rest);
            return;
        }
        self.begun.extend_from_slice(bytes);
        let joined = std::mem::take(&mut self.begun);
        let rest = chunks(&joined, tell);
        self.begun.extend_from_slice(rest);
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self, tell: &mut impl FnMut(&str)) {
        if !self.begun.is_empty() {
            self.begun.clear();
            tell("\u{fffd}");
        }
    }
}

/// Tells what is whole; returns the beginning of a character at the end.
fn chunks<'a>(bytes: &'a [u8], tell: &mut impl FnMut(&str)) -> &'a [u8] {
    let mut rest = bytes;
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok("") => return &[],
            Ok(text) => {
                tell(text);
                return &[];
            }
            Err(error) => error,
        };
        let (valid, after) = rest.split_at(error.valid_up_to());
        if let Ok(text) = std::str::from_utf8(valid)
            && !text.is_empty()
        {
            tell(text);
        }
        let Some(wrong) = error.error_len() else {
            return after;
        };
        tell("\u{fffd}");
        rest = &after[wrong..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xf0), Just(0x9f), Just(0x98), Just(0x80)], 0..24),
            size in 1usize..4,
        ) {
            let mut text = String::new();
            let mut utf8 = Utf8::default();
            for piece in bytes.chunks(size) {
                utf8.push(piece, &mut |part| text.push_str(part));
            }
            utf8.finish(&mut |part| text.push_str(part));
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
