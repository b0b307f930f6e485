use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, TruncationParams, decoders, pre_tokenizers};

use super::*;
use crate::Harmony;

/// A byte-level tokenizer without merges: 256 bytes, then these special tokens.
pub(crate) fn bytes_and(special: &[&str]) -> Vocabulary {
    let characters = byte_characters().map(String::from);
    let vocabulary: Vocab = characters.into_iter().zip(0..).collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, vec![])
        .build()
        .expect("the vocabulary is one");
    let mut tokenizer = Tokenizer::new(model);
    let byte_level = pre_tokenizers::byte_level::ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(byte_level));
    tokenizer.with_decoder(Some(decoders::byte_level::ByteLevel::default()));
    let tokens: Vec<_> = special
        .iter()
        .map(|name| AddedToken::from(*name, true))
        .collect();
    tokenizer.add_special_tokens(&tokens);
    Vocabulary::from_tokenizer(tokenizer).expect("it has a token for each byte")
}

#[test]
fn special_tokens_are_made_by_name_only_where_that_is_asked_for() {
    let vocabulary = bytes_and(&["<|end|>", "<|end|><|end|>"]);
    assert_eq!(vocabulary.encode("<|end|>"), b"<|end|>".map(u32::from));
    assert_eq!(vocabulary.encode_with_special("a<|end|>b"), [97, 256, 98]);
    // The longest of those that begin at a place.
    let twice = "<|end|><|end|>";
    assert_eq!(vocabulary.encode_with_special(twice), [257]);
    assert_eq!(
        vocabulary.encode_with_special("<|end|"),
        b"<|end|".map(u32::from)
    );
}

#[test]
fn each_id_has_its_bytes_and_none_beyond_the_tokenizer() {
    let vocabulary = bytes_and(&["<|end|>"]);
    assert_eq!(vocabulary.len(), 257);
    for id in 0..256 {
        assert_eq!(vocabulary.bytes(id), [id as u8]);
        assert!(!vocabulary.is_special(id));
    }
    assert_eq!(vocabulary.bytes(256), b"<|end|>");
    assert!(vocabulary.is_special(256));
    assert_eq!(vocabulary.bytes(257), b"");
    assert_eq!(vocabulary.bytes(u32::MAX), b"");
}

#[test]
fn decoded_text_is_utf_8() {
    let vocabulary = bytes_and(&[]);
    let ids = vocabulary.encode("é🙂");
    assert_eq!(vocabulary.decode(&ids), "é🙂");
    assert_eq!(vocabulary.decode(&ids[1..3]), "\u{FFFD}\u{FFFD}");
    assert_eq!(vocabulary.decode(&[97, 5_000_000, 98]), "ab");
}

#[test]
fn a_tokenizer_that_lacks_a_token_of_the_format_is_good_for_raw_prompts() {
    let vocabulary = bytes_and(&["<|start|>", "<|end|>", "<|message|>", "<|channel|>"]);
    let missing = vocabulary.special().expect_err("there are four of eight");
    assert_eq!(missing, MissingToken("<|constrain|>"));
    assert!(missing.to_string().contains("<|constrain|>"));
    assert!(Harmony::new(vocabulary.into()).is_err());
}

#[test]
fn a_tokenizer_that_loses_text_is_refused() {
    let vocabulary: Vocab = [("a".to_owned(), 0)].into_iter().collect();
    let model = BPE::builder().vocab_and_merges(vocabulary, vec![]).build();
    let mut tokenizer = Tokenizer::new(model.expect("the vocabulary is one"));
    assert_eq!(
        Vocabulary::from_tokenizer(tokenizer.clone()).err(),
        Some(NotBytes)
    );
    tokenizer.with_decoder(Some(decoders::byte_level::ByteLevel::default()));
    assert_eq!(Vocabulary::from_tokenizer(tokenizer).err(), Some(NotBytes));
}

#[test]
fn a_file_is_read_as_it_was_saved() {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let path = folder.path().join("tokenizer.json");
    let saved = bytes_and(&["<|start|>", "<|end|>"]);
    let mut tokenizer = saved.tokenizer.clone();
    // A file may ask for short texts; a prompt has to be whole.
    let short = TruncationParams {
        max_length: 3,
        ..TruncationParams::default()
    };
    let tokenizer = tokenizer
        .with_truncation(Some(short))
        .expect("it can be short");
    tokenizer
        .save(&path, false)
        .expect("there is room for temporary files");
    let read = Vocabulary::from_file(&path).expect("it is a tokenizer");
    let text = "a<|end|>é🙂 and more";
    assert_eq!(read.len(), saved.len());
    assert_eq!(read.encode(text), saved.encode(text));
    assert_eq!(
        read.encode_with_special(text),
        saved.encode_with_special(text)
    );
    assert_eq!(read.decode(&read.encode(text)), text);
}

#[test]
fn a_file_that_is_no_tokenizer_is_named() {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let path = folder.path().join("tokenizer.json");
    let message = |path: &Path| {
        Vocabulary::from_file(path)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    assert!(message(&path).contains("cannot read"));
    std::fs::write(&path, "{}").expect("there is room for temporary files");
    let error = message(&path);
    assert!(
        error.contains("tokenizer.json") && error.contains("fetch"),
        "{error}"
    );
}
