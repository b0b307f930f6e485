//! Tokens of long texts that were encoded before.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

/// Texts with fewer bytes are encoded about as fast as they are found.
const SHORTEST: usize = 512;

/// Bytes that texts and their tokens may take.
const MOST: usize = 32 << 20;

/// Remembers the tokens of the long texts that were asked for last.
///
/// An agent sends its whole conversation with each request: instructions, tools and all
/// messages before the last are texts that were encoded a moment ago.
pub(crate) struct Memo {
    kept: Mutex<Kept>,
    most: usize,
}

struct Kept {
    tokens: LruCache<Box<str>, Arc<[u32]>>,
    bytes: usize,
}

impl Default for Memo {
    fn default() -> Self {
        Self::new(MOST)
    }
}

impl fmt::Debug for Memo {
    /// Says nothing of the texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memo")
    }
}

impl Memo {
    fn new(most: usize) -> Self {
        let kept = Kept {
            tokens: LruCache::unbounded(),
            bytes: 0,
        };
        Self {
            kept: Mutex::new(kept),
            most,
        }
    }

    /// Appends a text's tokens, which `encode` makes where they are not known.
    pub(crate) fn append(
        &self,
        text: &str,
        encode: impl FnOnce(&str) -> Vec<u32>,
        tokens: &mut Vec<u32>,
    ) {
        if text.len() < SHORTEST {
            tokens.extend(encode(text));
            return;
        }
        let known = self.lock(|kept| kept.tokens.get(text).cloned());
        let found = known.unwrap_or_else(|| {
            let made: Arc<[u32]> = encode(text).into();
            self.lock(|kept| kept.put(text, made.clone(), self.most));
            made
        });
        tokens.extend_from_slice(&found);
    }

    fn lock<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        // What is kept is whole at every moment.
        work(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn put(&mut self, text: &str, tokens: Arc<[u32]>, most: usize) {
        self.bytes += size(text, &tokens);
        if let Some(before) = self.tokens.put(text.into(), tokens) {
            self.bytes -= size(text, &before);
        }
        while self.bytes > most {
            let Some((text, tokens)) = self.tokens.pop_lru() else {
                return;
            };
            self.bytes -= size(&text, &tokens);
        }
    }
}

fn size(text: &str, tokens: &[u32]) -> usize {
    text.len() + size_of_val(tokens)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    #[test]
    fn a_long_text_is_encoded_once_and_a_short_one_each_time() {
        let memo = Memo::default();
        for (length, times) in [(SHORTEST, 1), (SHORTEST - 1, 3)] {
            let text = "a".repeat(length);
            let encoded = Cell::new(0);
            for _ in 0..3 {
                let mut tokens = vec![7];
                let encode = |text: &str| {
                    encoded.set(encoded.get() + 1);
                    bytes(text)
                };
                memo.append(&text, encode, &mut tokens);
                assert_eq!(tokens, [vec![7], bytes(&text)].concat());
            }
            assert_eq!(encoded.get(), times);
        }
    }

    proptest! {
        /// Whatever is asked for, in whatever order, the tokens are the text's own, and what
        /// is kept stays within its bound.
        #[test]
        fn tokens_are_the_texts_own(
            asked in prop::collection::vec((0u8..6, 0usize..4), 0..60),
            most in 0usize..30_000,
        ) {
            let memo = Memo::new(most);
            for (letter, longer) in asked {
                let text = char::from(b'a' + letter).to_string().repeat(SHORTEST - 1 + longer);
                let mut tokens = Vec::new();
                memo.append(&text, bytes, &mut tokens);
                prop_assert_eq!(tokens, bytes(&text));
                let kept = memo.kept.lock().expect("nothing panicked");
                prop_assert!(kept.bytes <= most);
                let sum: usize = kept.tokens.iter().map(|(text, tokens)| size(text, tokens)).sum();
                prop_assert_eq!(kept.bytes, sum);
            }
        }
    }
}
