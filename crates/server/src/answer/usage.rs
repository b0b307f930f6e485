//! Counts of tokens.

use serde::Serialize;

/// Counts of tokens, as clients get them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: u32,
    total_tokens: u32,
    completion_tokens: u32,
    prompt_tokens_details: PromptDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u32,
}

impl Usage {
    pub(crate) fn prompt(&self) -> u32 {
        self.prompt_tokens
    }

    /// What of the prompt the engine's prefix cache had.
    pub(crate) fn cached(&self) -> u32 {
        self.prompt_tokens_details.cached_tokens
    }

    pub(crate) fn completion(&self) -> u32 {
        self.completion_tokens
    }

    pub(crate) fn reasoning(&self) -> u32 {
        let details = self.completion_tokens_details;
        details.map_or(0, |details| details.reasoning_tokens)
    }

    /// Raw completions know no reasoning.
    pub(crate) fn new(prompt: u32, cached: u32, completion: u32, reasoning: Option<u32>) -> Self {
        Self {
            prompt_tokens: prompt,
            total_tokens: prompt.saturating_add(completion),
            completion_tokens: completion,
            prompt_tokens_details: PromptDetails {
                cached_tokens: cached,
            },
            completion_tokens_details: reasoning
                .map(|reasoning_tokens| CompletionDetails { reasoning_tokens }),
        }
    }
}
