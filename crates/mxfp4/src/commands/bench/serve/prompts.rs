//! Prompts of an exact length.

use mxfp4_harmony::Vocabulary;

/// So few words that a tokenizer has letters and little else.
const FEW: usize = 100;

/// How often a prompt is mended whose length changed when it was encoded again.
const MENDS: usize = 20;

/// Makes texts of random words. The vocabulary's other tokens are left out: drawn from all of it a text changes its
/// length when it is encoded again.
pub struct Prompts {
    vocabulary: Vocabulary,
    words: Vec<u32>,
}

impl Prompts {
    /// Of this vocabulary's words, or of its letters where it has few: every vocabulary has a token for each byte.
    pub fn of(vocabulary: Vocabulary) -> Self {
        let (mut words, mut letters) = (Vec::new(), Vec::new());
        for id in (0..vocabulary.len() as u32).filter(|id| !vocabulary.is_special(*id)) {
            let is_word = |word: &[u8]| word.iter().all(u8::is_ascii_alphabetic);
            match vocabulary.bytes(id) {
                [b' ', word @ ..] if !word.is_empty() && is_word(word) => words.push(id),
                [letter] if letter.is_ascii_alphabetic() => letters.push(id),
                _ => {}
            }
        }
        let words = if words.len() > FEW { words } else { letters };
        Self { vocabulary, words }
    }

    /// Different texts, each of them `length` tokens; the same for the same seed.
    pub fn draw(&self, length: u32, count: usize, seed: &str) -> anyhow::Result<Vec<String>> {
        let mut random = Random::new(seed);
        (0..count)
            .map(|_| self.text(length as usize, &mut random))
            .collect()
    }

    fn text(&self, length: usize, random: &mut Random) -> anyhow::Result<String> {
        let mut tokens = Vec::new();
        for _ in 0..MENDS {
            while tokens.len() < length {
                tokens.push(self.words[random.below(self.words.len())]);
            }
            let text = self.vocabulary.decode(&tokens);
            tokens = self.vocabulary.encode(&text);
            if tokens.len() == length {
                return Ok(text);
            }
            tokens.truncate(length);
        }
        anyhow::bail!("no text of {length} tokens was found")
    }
}

/// Numbers that a seed decides.
struct Random(blake3::OutputReader);

impl Random {
    fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        let scaled = u128::from(u64::from_le_bytes(bytes)) * bound as u128;
        (scaled >> u64::BITS) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// A vocabulary of a token for each byte and of these tokens, each merged of two that come before it.
    fn vocabulary(tokens: &[&str], merges: &[[&str; 2]]) -> Vocabulary {
        // Bytes that are no letters of Latin-1 are written as the characters from U+0100 on, in turn.
        let mut others = '\u{100}'..;
        let bytes = (0..=u8::MAX).map(|byte| match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte).to_string(),
            _ => others.next().map(String::from).unwrap_or_default(),
        });
        let ids: serde_json::Map<_, _> = bytes
            .chain(tokens.iter().map(|token| token.to_string()))
            .enumerate()
            .map(|(id, token)| (token, json!(id)))
            .collect();
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let tokenizer = json!({
            "version": "1.0",
            "added_tokens": [],
            "pre_tokenizer": bytes,
            "decoder": bytes,
            "model": {"type": "BPE", "vocab": ids, "merges": merges},
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenizer.json");
        fs::write(&file, tokenizer.to_string()).unwrap();
        Vocabulary::from_file(&file).unwrap()
    }

    #[test]
    fn prompts_have_the_length_that_is_asked_for() {
        // Two words that become one token wherever they meet.
        let merging = || vocabulary(&["ab"], &[["a", "b"]]);
        for length in [1, 7, 200] {
            let prompts = Prompts::of(merging());
            let texts = prompts.draw(length, 5, "a").unwrap();
            assert_eq!(texts.len(), 5);
            for text in &texts {
                assert_eq!(merging().encode(text).len(), length as usize, "{text}");
                assert!(!text.contains('7'));
            }
            assert_eq!(prompts.draw(length, 5, "a").unwrap(), texts);
            if length > 1 {
                assert_ne!(prompts.draw(length, 5, "b").unwrap(), texts);
            }
        }
    }

    #[test]
    fn words_are_preferred_to_letters() {
        let letters: Vec<String> = ('a'..='z').chain('A'..='Z').map(String::from).collect();
        let firsts = letters.iter().map(|letter| format!("Ġ{letter}"));
        let mut tokens: Vec<String> = firsts.collect();
        let mut merges: Vec<[&str; 2]> = letters.iter().map(|letter| ["Ġ", letter]).collect();
        let longer: Vec<[String; 2]> = letters
            .iter()
            .map(|letter| [format!("Ġ{letter}"), "x".to_owned()])
            .collect();
        tokens.extend(longer.iter().map(|pair| pair.concat()));
        merges.extend(longer.iter().map(|[first, second]| [&first[..], second]));
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let prompts = Prompts::of(vocabulary(&tokens, &merges));
        let [text] = &prompts.draw(9, 1, "").unwrap()[..] else {
            panic!("one was asked for")
        };
        assert!(text.split(' ').skip(1).count() == 9, "{text}");
    }
}
