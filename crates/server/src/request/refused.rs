//! Fields that would change an answer and cannot be honoured: refused by name.

use crate::api_error::ApiError;
use crate::json::{Field, Object};

/// The values of a field that ask for nothing.
#[derive(Clone, Copy)]
enum Neutral {
    /// None but `null`.
    Null,
    False,
    One,
    /// `[]`, `{}`, `""`.
    Empty,
}

const FORMAT: &str = "the format of GPT-OSS' prompts is fixed; leave it out";
const TEXT: &str = "GPT-OSS reads and writes text alone; leave it out";

const REFUSED: &[(&str, Neutral, &str)] = &[
    (
        "logit_bias",
        Neutral::Empty,
        "the engine cannot shift single tokens; leave it out",
    ),
    (
        "best_of",
        Neutral::One,
        "the engine does not rank answers; send `n`, and choose yourself",
    ),
    (
        "use_beam_search",
        Neutral::False,
        "the engine has no beam search; leave it out",
    ),
    (
        "structural_tag",
        Neutral::Null,
        "the server writes what is around an answer; send `response_format` or `tool_choice`",
    ),
    (
        "prompt_logprobs",
        Neutral::Null,
        "the engine has log-probabilities of the answer alone; leave it out",
    ),
    (
        "truncate_prompt_tokens",
        Neutral::Null,
        "prompts are not cut here; send a shorter one",
    ),
    (
        "allowed_token_ids",
        Neutral::Empty,
        "the engine cannot forbid tokens; leave it out",
    ),
    (
        "bad_words",
        Neutral::Empty,
        "the engine cannot forbid words; leave it out",
    ),
    (
        "logits_processors",
        Neutral::Empty,
        "the engine takes no code; leave it out",
    ),
    (
        "cache_salt",
        Neutral::Empty,
        "the engine's prefix cache is shared by all requests; leave it out",
    ),
    (
        "return_tokens_as_token_ids",
        Neutral::False,
        "tokens are given as text; leave it out",
    ),
    (
        "kv_transfer_params",
        Neutral::Empty,
        "this server shares no cache with others; leave it out",
    ),
];

const REFUSED_IN_CHAT: &[(&str, Neutral, &str)] = &[
    (
        "functions",
        Neutral::Empty,
        "it is the former name of `tools`; send `tools`",
    ),
    ("chat_template", Neutral::Empty, FORMAT),
    ("documents", Neutral::Empty, FORMAT),
    (
        "echo",
        Neutral::False,
        "a chat's prompt is not sent back; leave it out",
    ),
    ("audio", Neutral::Null, TEXT),
    ("mm_processor_kwargs", Neutral::Empty, TEXT),
    (
        "web_search_options",
        Neutral::Null,
        "this server searches nothing; offer a function in `tools`",
    ),
];

const REFUSED_IN_COMPLETIONS: &[(&str, Neutral, &str)] = &[
    (
        "suffix",
        Neutral::Empty,
        "GPT-OSS does not fill gaps; put what follows into the prompt",
    ),
    (
        "thinking_token_budget",
        Neutral::Null,
        "a raw text has no reasoning; send it to /v1/chat/completions",
    ),
    (
        "prompt_embeds",
        Neutral::Empty,
        "prompts are text or token ids; send `prompt`",
    ),
];

/// Known fields that change nothing here.
const WITHOUT_EFFECT: &[&str] = &[
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "prediction",
    "verbosity",
    "priority",
    "request_id",
    "early_stopping",
    "length_penalty",
    "spaces_between_special_tokens",
    // GPT-OSS' tokenizer adds none.
    "add_special_tokens",
];

/// Refuses what all routes refuse, and passes by what changes nothing.
pub(super) fn check(body: &mut Object<'_>) -> Result<(), ApiError> {
    body.ignore(WITHOUT_EFFECT);
    check_all(body, REFUSED)
}

pub(super) fn check_chat(body: &mut Object<'_>) -> Result<(), ApiError> {
    check(body)?;
    check_all(body, REFUSED_IN_CHAT)
}

pub(super) fn check_completion(body: &mut Object<'_>) -> Result<(), ApiError> {
    check(body)?;
    check_all(body, REFUSED_IN_COMPLETIONS)
}

fn check_all(body: &mut Object<'_>, refused: &[(&str, Neutral, &str)]) -> Result<(), ApiError> {
    for (key, neutral, why) in refused {
        if let Some(field) = body.get(key)
            && !neutral.is(&field)
        {
            return Err(field.refuse(why));
        }
    }
    Ok(())
}

impl Neutral {
    fn is(&self, field: &Field<'_>) -> bool {
        match self {
            Self::Null => false,
            Self::False => field.text() == "false",
            Self::One => field.integer(1..=1).is_ok(),
            Self::Empty => {
                let text = field.text();
                let inside = text.get(1..text.len() - 1).unwrap_or_default();
                let bracketed = field.is_array() || field.is_object() || field.is_string();
                bracketed && inside.bytes().all(|byte| byte.is_ascii_whitespace())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_clients_names_every_field() {
        let page = include_str!("../../../../docs/reference/api.md");
        let refused = [REFUSED, REFUSED_IN_CHAT, REFUSED_IN_COMPLETIONS].concat();
        let names = refused.iter().map(|(name, ..)| name);
        for name in names.chain(WITHOUT_EFFECT) {
            assert!(
                page.contains(&format!("`{name}`")),
                "docs/reference/api.md lacks {name}"
            );
        }
    }
}
