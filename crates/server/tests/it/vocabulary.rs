//! A small vocabulary: a token a byte, and the format's own tokens by their ids.

use std::sync::{Arc, OnceLock};

use mxfp4_harmony::Vocabulary;
use serde_json::{Map, Value, json};

const SPECIAL: [(&str, u32); 8] = [
    ("<|endoftext|>", 199_999),
    ("<|return|>", 200_002),
    ("<|constrain|>", 200_003),
    ("<|channel|>", 200_005),
    ("<|start|>", 200_006),
    ("<|end|>", 200_007),
    ("<|message|>", 200_008),
    ("<|call|>", 200_012),
];

/// The vocabulary, made once.
pub fn vocabulary() -> Arc<Vocabulary> {
    static MADE: OnceLock<Arc<Vocabulary>> = OnceLock::new();
    MADE.get_or_init(|| Arc::new(make(&SPECIAL))).clone()
}

/// One that lacks the format's tokens.
pub fn plain_vocabulary() -> Arc<Vocabulary> {
    Arc::new(make(&SPECIAL[..1]))
}

/// Text in the model's format as tokens.
pub fn tokens(text: &str) -> Vec<u32> {
    vocabulary().encode_with_special(text)
}

fn make(special: &[(&str, u32)]) -> Vocabulary {
    let mut ids = Map::new();
    for byte in 0..=u8::MAX {
        ids.insert(letter(byte).to_string(), byte.into());
    }
    for (name, id) in special {
        ids.insert((*name).to_owned(), (*id).into());
    }
    let added: Vec<Value> = special
        .iter()
        .map(|(name, id)| {
            json!({"id": id, "content": name, "special": true, "single_word": false,
                   "lstrip": false, "rstrip": false, "normalized": false})
        })
        .collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false,
                            "trim_offsets": false, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0", "added_tokens": added, "normalizer": null,
        "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": ids, "merges": []},
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    Vocabulary::from_file(&path).unwrap()
}

/// The character by which a byte-level tokenizer writes a byte.
fn letter(byte: u8) -> char {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(&byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|each| !printable(each)).count();
    char::from_u32(0x100 + before as u32).unwrap()
}
