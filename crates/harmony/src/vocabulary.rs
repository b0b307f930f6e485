//! Token ids, their bytes and names.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use regex::Regex;
use tokenizers::models::bpe::BPE;
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
    TokenizerImpl,
};

use crate::{MissingToken, Special};

/// A vocabulary could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyError {
    /// The file cannot be read.
    #[error("cannot read the tokenizer {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The text is no tokenizer.
    #[error("{path} is no tokenizer.json that can be used: {error}; fetch the checkpoint's again")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        error: String,
    },
}

/// A tokenizer that does not write every text by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its tokens are not bytes, as GPT-OSS's are (decoder ByteLevel, a token for each byte)")]
pub struct NotBytes;

/// A tokenizer whose model is known. One whose model may be any is read twice, at first into
/// JSON values, which are most of the memory.
type BpeTokenizer = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// A tokenizer's vocabulary. Immutable; share it by [`Arc`](std::sync::Arc).
pub struct Vocabulary {
    tokenizer: Tokenizer,
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where each token's bytes end; they begin where the one's before end.
    ends: Vec<u32>,
    /// Special tokens by name.
    names: HashMap<String, u32>,
    /// Finds them in a text; [`None`] where there are none.
    special_names: Option<Regex>,
    /// Their ids, in order.
    special: Vec<u32>,
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vocabulary({} tokens)", self.len())
    }
}

impl Vocabulary {
    /// From a checkpoint's `tokenizer.json`.
    pub fn from_file(tokenizer_json: &Path) -> Result<Self, VocabularyError> {
        let text = std::fs::read(tokenizer_json).map_err(|error| VocabularyError::Read {
            path: tokenizer_json.to_owned(),
            error,
        })?;
        let wrong = |error: String| VocabularyError::Parse {
            path: tokenizer_json.to_owned(),
            error,
        };
        let tokenizer: BpeTokenizer =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        Self::from_tokenizer(tokenizer.into()).map_err(|error| wrong(error.to_string()))
    }

    /// From a tokenizer that is loaded already.
    pub fn from_tokenizer(mut tokenizer: Tokenizer) -> Result<Self, NotBytes> {
        let byte_level = matches!(tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_)));
        let has_token = |byte: &char| {
            tokenizer
                .token_to_id(byte.encode_utf8(&mut [0; 4]))
                .is_some()
        };
        if !byte_level || !byte_characters().iter().all(has_token) {
            return Err(NotBytes);
        }
        tokenizer.set_encode_special_tokens(true);
        // Prompts are counted and refused, not shortened.
        tokenizer.with_padding(None);
        let _ = tokenizer.with_truncation(None);
        let names: HashMap<String, u32> = tokenizer
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, token)| (token.content, id))
            .collect();
        let mut special: Vec<u32> = names.values().copied().collect();
        special.sort_unstable();
        let (bytes, ends) = token_bytes(&tokenizer);
        Ok(Self {
            tokenizer,
            bytes,
            ends,
            special_names: any_of(names.keys()),
            names,
            special,
        })
    }

    /// The tokens of plain text: what looks like a special token stays text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // With a token for each byte there is no text that fails.
        let encoding = self.tokenizer.encode_fast(text, false);
        encoding.map_or_else(|_| Vec::new(), |encoding| encoding.get_ids().to_vec())
    }

    /// The tokens of a raw prompt: special tokens by name become special tokens.
    pub fn encode_with_special(&self, text: &str) -> Vec<u32> {
        let (mut ids, mut plain) = (Vec::new(), 0);
        for found in self
            .special_names
            .iter()
            .flat_map(|names| names.find_iter(text))
        {
            ids.extend(self.encode(&text[plain..found.start()]));
            ids.extend(self.special_id(found.as_str()));
            plain = found.end();
        }
        ids.extend(self.encode(&text[plain..]));
        ids
    }

    /// A token's bytes, which may be a part of a character; a special token's name; nothing
    /// beyond the tokenizer.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else {
            return &[];
        };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start as usize..end as usize]
    }

    /// The text of tokens; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.bytes(*id)).copied().collect();
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// The ids of harmony's tokens, or the one that this tokenizer lacks.
    pub fn special(&self) -> Result<Special, MissingToken> {
        Special::of(|name| self.special_id(name))
    }

    /// The id of a special token, as `<|start|>`.
    pub fn special_id(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// Whether it is a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.binary_search(&id).is_ok()
    }

    /// The ids of all special tokens, in order.
    pub fn special_ids(&self) -> &[u32] {
        &self.special
    }

    /// How many ids the tokenizer has: the highest and one. The model's head may have more.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no token at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Finds names in a text, the longest of those that begin at a place.
fn any_of<'n>(names: impl Iterator<Item = &'n String>) -> Option<Regex> {
    let mut names: Vec<&String> = names.filter(|name| !name.is_empty()).collect();
    names.sort_unstable_by_key(|name| std::cmp::Reverse(name.len()));
    let names: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
    let pattern = names.join("|");
    (!names.is_empty()).then(|| Regex::new(&pattern).ok())?
}

/// The bytes of all tokens and where each one's end.
fn token_bytes(tokenizer: &Tokenizer) -> (Vec<u8>, Vec<u32>) {
    let vocabulary = tokenizer.get_vocab(true);
    let len = vocabulary.values().max().map_or(0, |id| *id as usize + 1);
    let mut tokens: Vec<Option<&str>> = vec![None; len];
    for (token, id) in &vocabulary {
        tokens[*id as usize] = Some(token);
    }
    let added = tokenizer.get_added_tokens_decoder();
    let alphabet: HashMap<char, u8> = byte_characters().into_iter().zip(0..=u8::MAX).collect();
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(len));
    for (id, token) in tokens.into_iter().enumerate() {
        let token = token.unwrap_or_default();
        if let Some(added) = added.get(&(id as u32)) {
            bytes.extend_from_slice(added.content.as_bytes());
        } else {
            bytes.extend(token.chars().filter_map(|char| alphabet.get(&char)));
        }
        ends.push(bytes.len() as u32);
    }
    (bytes, ends)
}

/// The characters by which a byte-level tokenizer writes bytes: printable ones stand for
/// themselves, the others for the characters from U+0100 on, in order.
pub(crate) fn byte_characters() -> [char; 256] {
    let mut others = '\u{100}'..;
    std::array::from_fn(|byte| match byte as u8 {
        byte @ (b'!'..=b'~' | 0xA1..=0xAC | 0xAE..) => char::from(byte),
        _ => others.next().unwrap_or_default(),
    })
}

#[cfg(test)]
pub(crate) mod tests;
