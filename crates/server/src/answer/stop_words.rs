//! Words that end an answer, in a text that comes in pieces.

/// Looks for stop words in a text that comes in pieces, and holds back what may become
/// one.
pub(crate) struct StopWords {
    words: Vec<String>,
    keep: bool,
    held: String,
}

/// What a piece of text led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// So many bytes of what was held can go out.
    Go(usize),
    /// A word is whole, of this index; so many bytes are the last of the answer.
    Stop(usize, usize),
}

impl StopWords {
    /// With `keep` the word stays in the text. None where there are no words.
    pub(crate) fn new(words: Vec<String>, keep: bool) -> Option<Self> {
        (!words.is_empty()).then_some(Self {
            words,
            keep,
            held: String::new(),
        })
    }

    /// Takes a piece; what can go out of [`Self::held`] is said, and to be taken by
    /// [`Self::release`].
    pub(crate) fn push(&mut self, piece: &str) -> Seen {
        self.held.push_str(piece);
        match self.first_whole() {
            Some((at, word)) => Seen::Stop(at, word),
            None => Seen::Go(self.held.len() - self.begun()),
        }
    }

    /// The text that is held back.
    pub(crate) fn held(&self) -> &str {
        &self.held
    }

    /// Forgets so many bytes of what is held.
    pub(crate) fn release(&mut self, bytes: usize) {
        self.held.drain(..bytes);
    }

    /// Where the answer ends if a word is whole, and the word's index: at the word that is
    /// whole first, and of several the longest.
    fn first_whole(&self) -> Option<(usize, usize)> {
        let ends = |(index, word): (usize, &String)| {
            let start = memchr::memmem::find(self.held.as_bytes(), word.as_bytes())?;
            Some((start + word.len(), start, index))
        };
        let (end, start, index) = self.words.iter().enumerate().filter_map(ends).min()?;
        Some((if self.keep { end } else { start }, index))
    }

    /// The word of an index.
    pub(crate) fn word(&self, index: usize) -> &str {
        &self.words[index]
    }

    /// Bytes at the end that may be the beginning of a word.
    fn begun(&self) -> usize {
        self.words
            .iter()
            .map(|word| self.begun_of(word))
            .max()
            .unwrap_or(0)
    }

    fn begun_of(&self, word: &str) -> usize {
        let held = self.held.as_bytes();
        let most = held.len().min(word.len() - 1);
        // A word begins with a character's first byte and the text ends with a whole
        // one, so what is alike at both is whole characters.
        (1..=most)
            .rev()
            .find(|length| held.ends_with(&word.as_bytes()[..*length]))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What goes out, and whether a word ended it.
    fn run(words: &[&str], keep: bool, pieces: &[&str]) -> (Vec<String>, bool) {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let mut stop = StopWords::new(words, keep).unwrap();
        let mut out = Vec::new();
        for piece in pieces {
            let (bytes, stopped) = match stop.push(piece) {
                Seen::Go(bytes) => (bytes, false),
                Seen::Stop(bytes, word) => {
                    assert!(stop.held().contains(stop.word(word)));
                    (bytes, true)
                }
            };
            out.push(stop.held()[..bytes].to_owned());
            if stopped {
                return (out, true);
            }
            stop.release(bytes);
        }
        out.push(stop.held().to_owned());
        (out, false)
    }

    #[test]
    fn a_word_ends_the_text_wherever_the_pieces_are_cut() {
        assert_eq!(
            run(&["STOP"], false, &["One S", "T", "OP two"]),
            (vec!["One ".into(), String::new(), String::new()], true)
        );
        assert_eq!(
            run(&["STOP"], true, &["One ST", "OP two"]),
            (vec!["One ".into(), "STOP".into()], true)
        );
        assert_eq!(
            run(&["STOP"], false, &["ST", "STO", "ICE"]),
            (
                vec![String::new(), "ST".into(), "STOICE".into(), String::new()],
                false
            )
        );
    }

    #[test]
    fn the_word_that_is_whole_first_counts() {
        assert_eq!(
            run(&["abcd", "bc"], false, &["xabcd"]),
            (vec!["xa".into()], true)
        );
        assert_eq!(
            run(&["bc", "abc"], false, &["xabc"]),
            (vec!["x".into()], true)
        );
    }

    #[test]
    fn characters_stay_whole() {
        // Both begin with the same three bytes.
        assert_eq!(
            run(&["😀"], false, &["a😁", "b"]),
            (vec!["a😁".into(), "b".into(), String::new()], false)
        );
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            words in prop::collection::vec("[ab😀é]{1,3}", 1..4),
            text in "[ab😀😁éè]{0,24}",
            cuts in prop::collection::vec(0usize..30, 0..6),
            keep in any::<bool>(),
        ) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut pieces = Vec::new();
            let mut rest = text.as_str();
            for cut in cuts {
                let at = rest.char_indices().nth(cut % 5).map_or(rest.len(), |(at, _)| at);
                pieces.push(&rest[..at]);
                rest = &rest[at..];
            }
            pieces.push(rest);
            let (out, stopped) = run(&words, keep, &pieces);
            let (whole, also) = run(&words, keep, &[&text]);
            prop_assert_eq!(out.concat(), whole.concat());
            prop_assert_eq!(stopped, also);
            if stopped {
                prop_assert!(text.starts_with(&whole.concat()));
            } else {
                prop_assert_eq!(whole.concat(), text.clone());
            }
            prop_assert_eq!(stopped, words.iter().any(|word| text.contains(word)));
        }
    }
}
