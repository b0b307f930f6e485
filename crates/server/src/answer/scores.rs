//! Log-probabilities, as clients get them.

use mxfp4_engine::TokenLogprobs;
use mxfp4_harmony::Vocabulary;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// What stands for a likelihood of zero: JSON has no infinity.
const NEVER: f32 = -9999.0;

/// How likely a token was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Score {
    #[serde(flatten)]
    token: ScoredToken,
    top_logprobs: Vec<ScoredToken>,
    /// Where the token's text begins, in characters.
    #[serde(skip)]
    offset: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ScoredToken {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl Score {
    pub(crate) fn new(vocabulary: &Vocabulary, scores: &TokenLogprobs, offset: usize) -> Self {
        let top = scores
            .top
            .iter()
            .map(|(id, logprob)| ScoredToken::new(vocabulary, *id, *logprob));
        Self {
            token: ScoredToken::new(vocabulary, scores.token, scores.logprob),
            top_logprobs: top.collect(),
            offset,
        }
    }
}

impl ScoredToken {
    fn new(vocabulary: &Vocabulary, id: u32, logprob: f32) -> Self {
        let bytes = vocabulary.bytes(id).to_vec();
        Self {
            token: String::from_utf8_lossy(&bytes).into_owned(),
            logprob: if logprob.is_finite() { logprob } else { NEVER },
            bytes,
        }
    }
}

/// Log-probabilities of a chat's answer: those of the reasoning are in a list of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ChatScores {
    pub(crate) content: Vec<Score>,
    /// OpenAI's clients know it.
    refusal: Option<()>,
    pub(crate) reasoning: Vec<Score>,
}

impl ChatScores {
    pub(crate) fn is_empty(&self) -> bool {
        self.content.is_empty() && self.reasoning.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.content.clear();
        self.reasoning.clear();
    }
}

/// Log-probabilities of a raw completion: lists side by side.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct TextScores<'a> {
    text_offset: Vec<usize>,
    token_logprobs: Vec<f32>,
    tokens: Vec<&'a str>,
    top_logprobs: Vec<Top<'a>>,
}

#[derive(Debug, PartialEq)]
struct Top<'a>(&'a [ScoredToken]);

impl<'a> TextScores<'a> {
    pub(crate) fn new(scores: &'a [Score]) -> Self {
        Self {
            text_offset: scores.iter().map(|score| score.offset).collect(),
            token_logprobs: scores.iter().map(|score| score.token.logprob).collect(),
            tokens: scores.iter().map(|score| &*score.token.token).collect(),
            top_logprobs: scores
                .iter()
                .map(|score| Top(&score.top_logprobs))
                .collect(),
        }
    }
}

impl Serialize for Top<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (place, each) in self.0.iter().enumerate() {
            // Tokens of parts of characters look alike: the likeliest keeps the key.
            if self.0[..place]
                .iter()
                .all(|other| other.token != each.token)
            {
                map.serialize_entry(&each.token, &each.logprob)?;
            }
        }
        map.end()
    }
}
