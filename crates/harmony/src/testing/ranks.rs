//! A vocabulary in tiktoken's form: a line a token, its bytes in base64 and its rank.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use crate::Vocabulary;
use crate::vocabulary::byte_characters;

/// How a text is cut into pieces before it becomes tokens.
const PIECES: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// The named special tokens; all others from 199998 to 200018 are `<|reserved_ID|>`.
const NAMED: [(u32, &str); 9] = [
    (199_998, "<|startoftext|>"),
    (199_999, "<|endoftext|>"),
    (200_002, "<|return|>"),
    (200_003, "<|constrain|>"),
    (200_005, "<|channel|>"),
    (200_006, "<|start|>"),
    (200_007, "<|end|>"),
    (200_008, "<|message|>"),
    (200_012, "<|call|>"),
];

/// The ids of special tokens; the last one is `<|endofprompt|>`.
const SPECIAL: std::ops::RangeInclusive<u32> = 199_998..=200_018;

/// The published tokenizer, made from the text of `o200k_base.tiktoken`.
pub fn tokenizer_of(ranks: &str) -> Result<Tokenizer, String> {
    let ranks: HashMap<Vec<u8>, u32> = ranks.lines().map(rank).collect::<Result<_, _>>()?;
    let characters = byte_characters();
    let name = |bytes: &[u8]| -> String {
        bytes
            .iter()
            .map(|byte| characters[*byte as usize])
            .collect()
    };
    let vocabulary = ranks.iter().map(|(bytes, rank)| (name(bytes), *rank));
    let merges = merges(&ranks)
        .into_iter()
        .map(|(left, right)| (name(left), name(right)))
        .collect();
    let model = BPE::builder()
        .vocab_and_merges(vocabulary.collect::<Vocab>(), merges)
        .ignore_merges(true)
        .build()
        .map_err(|error| error.to_string())?;
    let mut tokenizer = Tokenizer::new(model);
    let split = Split::new(
        SplitPattern::Regex(PIECES.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .map_err(|error| error.to_string())?;
    let bytes = ByteLevel::new(false, true, false);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let special: Vec<AddedToken> = SPECIAL
        .map(|id| AddedToken::from(special_name(id), true))
        .collect();
    tokenizer.add_special_tokens(&special);
    Ok(tokenizer)
}

/// The text of `o200k_base.tiktoken`, made from the published vocabulary.
pub fn ranks_of(vocabulary: &Vocabulary) -> String {
    (0..*SPECIAL.start())
        .map(|id| format!("{} {id}\n", BASE64_STANDARD.encode(vocabulary.bytes(id))))
        .collect()
}

/// A line's token and rank.
fn rank(line: &str) -> Result<(Vec<u8>, u32), String> {
    let wrong = || format!("{line:?} is no token with its rank");
    let (token, rank) = line.split_once(' ').ok_or_else(wrong)?;
    let token = BASE64_STANDARD.decode(token).map_err(|_| wrong())?;
    Ok((token, rank.parse().map_err(|_| wrong())?))
}

/// Each way to make a token from two others, in the order of the made token, then of its
/// first part, then of its second: the order of the published file.
fn merges(ranks: &HashMap<Vec<u8>, u32>) -> Vec<(&[u8], &[u8])> {
    let mut merges = Vec::new();
    for (token, made) in ranks {
        for at in 1..token.len() {
            let (left, right) = token.split_at(at);
            if let (Some(first), Some(second)) = (ranks.get(left), ranks.get(right)) {
                merges.push(([*made, *first, *second], (left, right)));
            }
        }
    }
    merges.sort_unstable();
    merges.into_iter().map(|(_, pair)| pair).collect()
}

fn special_name(id: u32) -> String {
    if id == *SPECIAL.end() {
        return "<|endofprompt|>".to_owned();
    }
    NAMED.iter().find(|(named, _)| *named == id).map_or_else(
        || format!("<|reserved_{id}|>"),
        |(_, name)| (*name).to_owned(),
    )
}
