//! What chat and completions read alike: how to draw, when to end, what to send back.

use mxfp4_engine::Hello;

use super::Reader;
use crate::api_error::ApiError;
use crate::json::{Field, Object};

/// The most choices of a prompt.
const MOST_CHOICES: i128 = 128;
/// The most stop words, and the most stop tokens.
const MOST_STOPS: usize = 16;
const MOST_STOP_TOKENS: usize = 64;
/// The longest stop word, in bytes. As many are held back of a stream.
const LONGEST_STOP: usize = 1024;

/// How to draw, when to end, what to send back.
pub(crate) struct Sampling {
    /// What the engine is asked, but for the prompt and each choice's seed.
    pub(crate) request: mxfp4_engine::Request,
    pub(crate) choices: u32,
    pub(crate) stop: Vec<String>,
    /// Whether the stop word stays in the text.
    pub(crate) keep_stop: bool,
    /// Whether the answer's token ids are wanted, too.
    pub(crate) token_ids: bool,
    pub(crate) stream: Option<Streaming>,
}

/// What a stream carries beside the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streaming {
    /// A last chunk with the counts of tokens.
    pub(crate) usage: bool,
    /// Counts in every chunk.
    pub(crate) continuous_usage: bool,
}

impl Sampling {
    /// Everything but `max_tokens` and log-probabilities, which differ by route.
    pub(super) fn read(body: &mut Object<'_>, reader: &Reader<'_>) -> Result<Self, ApiError> {
        let choices = match body.get("n") {
            Some(field) => field.integer(1..=MOST_CHOICES)? as u32,
            None => 1,
        };
        let mut request = mxfp4_engine::Request::default();
        read_draw(body, &mut request)?;
        read_penalties(body, &mut request, reader.hello)?;
        read_ends(body, &mut request, reader)?;
        Ok(Self {
            request,
            choices,
            stop: read_stop(body, "stop")?,
            keep_stop: flag(body, "include_stop_str_in_output")? | flag(body, "no_stop_trim")?,
            token_ids: flag(body, "return_token_ids")?,
            stream: read_stream(body)?,
        })
    }

    /// The seed of a choice: the request's own for the first.
    ///
    /// MAX counts up from it with each token of an answer. Seeds that follow each other
    /// would draw alike, a step apart, so the choices' lie far from each other.
    pub(crate) fn seed(&self, choice: u32) -> Option<u64> {
        let apart = u64::from(choice) << 32;
        self.request.seed.map(|seed| seed.wrapping_add(apart))
    }
}

pub(crate) fn flag(body: &mut Object<'_>, key: &str) -> Result<bool, ApiError> {
    body.get(key).map_or(Ok(false), |field| field.boolean())
}

/// Reads temperature, shares of likelihood and the seed.
pub(crate) fn read_draw(
    body: &mut Object<'_>,
    request: &mut mxfp4_engine::Request,
) -> Result<(), ApiError> {
    let mut number = |key, range| body.get(key).map(|field| field.number(range)).transpose();
    request.temperature = number("temperature", 0.0..=2.0)?;
    request.top_p = number("top_p", 0.0..=1.0)?;
    request.min_p = number("min_p", 0.0..=1.0)?;
    if let Some(field) = body.get("top_k") {
        let top_k = field.integer(-1..=i128::from(i32::MAX))? as i32;
        // Both mean all.
        request.top_k = Some(if top_k == 0 { -1 } else { top_k });
    }
    if request.top_p == Some(0.0) {
        // No share of likelihood is the likeliest token alone.
        request.top_p = None;
        request.top_k = Some(1);
    }
    if let Some(field) = body.get("seed") {
        let seed = field.integer(i128::from(i64::MIN)..=i128::from(u64::MAX))?;
        // 64 bits, whatever their sign.
        request.seed = Some(seed as u64);
    }
    Ok(())
}

fn read_penalties(
    body: &mut Object<'_>,
    request: &mut mxfp4_engine::Request,
    hello: &Hello,
) -> Result<(), ApiError> {
    let mut penalty = |key, range, neutral| -> Result<Option<f32>, ApiError> {
        let Some(field) = body.get(key) else {
            return Ok(None);
        };
        let value = field.number(range)?;
        if value == neutral {
            return Ok(None);
        }
        if !hello.penalties {
            return Err(field.refuse(
                "the engine was started without penalties and would ignore it; \
                 start the server with `-- --enable-penalties`, or leave it out",
            ));
        }
        Ok(Some(value))
    };
    request.frequency_penalty = penalty("frequency_penalty", -2.0..=2.0, 0.0)?;
    request.presence_penalty = penalty("presence_penalty", -2.0..=2.0, 0.0)?;
    request.repetition_penalty = penalty("repetition_penalty", 0.01..=100.0, 1.0)?;
    Ok(())
}

fn read_ends(
    body: &mut Object<'_>,
    request: &mut mxfp4_engine::Request,
    reader: &Reader<'_>,
) -> Result<(), ApiError> {
    request.ignore_eos = flag(body, "ignore_eos")?;
    if let Some(field) = body.get("stop_token_ids") {
        request.stop_token_ids = field.tokens(MOST_STOP_TOKENS)?;
        reader.check_tokens(&field, &request.stop_token_ids)?;
    }
    if let Some(field) = body.get("min_tokens") {
        let min = field.integer(0..=i128::from(reader.hello.max_length))? as u32;
        if min > 0 && !reader.hello.min_tokens {
            return Err(field.refuse(
                "the engine was started without it and would ignore it; \
                 start the server with `-- --enable-min-tokens`, or leave it out",
            ));
        }
        request.min_tokens = (min > 0).then_some(min);
    }
    Ok(())
}

/// The number of tokens that an answer may have, by any of its names, the first first.
pub(super) fn read_max_tokens(
    body: &mut Object<'_>,
    keys: &[&str],
    least: i128,
) -> Result<Option<u32>, ApiError> {
    let mut found = None;
    for key in keys {
        if let Some(field) = body.get(key) {
            let most = field.integer(least..=i128::from(u32::MAX))? as u32;
            found = found.or(Some((field, most)));
        }
    }
    let Some((field, most)) = found else {
        return Ok(None);
    };
    if let Some(min) = body.get("min_tokens")
        && min.integer(0..=i128::from(u32::MAX))? > i128::from(most)
    {
        return Err(min.refuse(format_args!(
            "must be at most `{}`, which is {most}",
            field.path()
        )));
    }
    Ok(Some(most))
}

/// Reads the words that end an answer: one, or an array of them.
pub(crate) fn read_stop(body: &mut Object<'_>, key: &str) -> Result<Vec<String>, ApiError> {
    let Some(field) = body.get(key) else {
        return Ok(Vec::new());
    };
    if field.is_string() {
        return Ok(vec![stop_word(&field)?]);
    }
    field.array(MOST_STOPS)?.iter().map(stop_word).collect()
}

fn stop_word(field: &Field<'_>) -> Result<String, ApiError> {
    let word = field.string()?;
    if word.is_empty() {
        return Err(field.refuse("is empty, which every text holds; leave it out"));
    }
    if word.len() > LONGEST_STOP {
        return Err(field.refuse(format_args!(
            "has {} bytes; a stop word may have {LONGEST_STOP}",
            word.len()
        )));
    }
    Ok(word)
}

fn read_stream(body: &mut Object<'_>) -> Result<Option<Streaming>, ApiError> {
    let stream = flag(body, "stream")?;
    let mut streaming = Streaming::default();
    if let Some(field) = body.get("stream_options") {
        let mut options = field.object()?;
        streaming.usage = flag(&mut options, "include_usage")?;
        streaming.continuous_usage = flag(&mut options, "continuous_usage_stats")?;
        streaming.usage |= streaming.continuous_usage;
    }
    Ok(stream.then_some(streaming))
}

/// How many of the likeliest tokens come with each token; none where no
/// log-probabilities are asked for.
pub(crate) fn check_logprobs(field: &Field<'_>, hello: &Hello) -> Result<u8, ApiError> {
    let most = hello.max_logprobs;
    if most == 0 {
        return Err(field.refuse("the engine was started without log-probabilities; leave it out"));
    }
    Ok(field.integer(0..=i128::from(most))? as u8)
}
