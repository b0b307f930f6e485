//! `thinking`: how much, and how it is shown.

use mxfp4_harmony::Effort;

use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};

/// What a client wants of the model's thinking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Thinking {
    pub(super) effort: Option<Effort>,
    /// The most tokens.
    pub(super) budget: Option<u32>,
    pub(super) shown: Shown,
}

/// What of the thinking an answer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing.
    #[default]
    No,
    /// All of it.
    Whole,
    /// Blocks without their text, which their signatures have.
    Omitted,
}

/// Budgets up to the first are low effort, up to the second medium, and others high.
const LOW: i128 = 4096;
const MEDIUM: i128 = 16_384;

/// Reads `thinking`. GPT-OSS thinks in any case: without this field it is not shown.
pub(super) fn read(body: &mut Object<'_>) -> Result<Thinking, ApiError> {
    let Some(field) = body.get("thinking") else {
        return Ok(Thinking::default());
    };
    let mut thinking = field.object()?;
    let Some(kind) = thinking.get("type") else {
        return Err(ApiError::field(&thinking.path_of("type"), "is missing"));
    };
    let shown = shown(&mut thinking)?;
    let budget = thinking.get("budget_tokens");
    let budget = budget.as_ref().map(budget_tokens).transpose()?;
    match kind.string()?.as_str() {
        "enabled" => Ok(Thinking {
            effort: budget.map(effort),
            budget: budget.map(|tokens| tokens as u32),
            shown,
        }),
        "adaptive" | "between_tools" => Ok(Thinking {
            shown,
            ..Thinking::default()
        }),
        "disabled" => Ok(Thinking {
            effort: Some(Effort::Low),
            ..Thinking::default()
        }),
        other => Err(kind.refuse(format_args!(
            "{:?} is not known here; send \"enabled\", \"adaptive\", \"between_tools\" or \"disabled\"",
            excerpt(other)
        ))),
    }
}

fn budget_tokens(field: &Field<'_>) -> Result<i128, ApiError> {
    // More is no limit.
    field.integer(0..=999_999_999)
}

fn effort(budget: i128) -> Effort {
    if budget <= LOW {
        Effort::Low
    } else if budget <= MEDIUM {
        Effort::Medium
    } else {
        Effort::High
    }
}

/// Other words than these two ask for more or less of a summary, and there is none: all is shown.
fn shown(thinking: &mut Object<'_>) -> Result<Shown, ApiError> {
    let display = thinking.get("display");
    match display.map(|field| field.string()).transpose()?.as_deref() {
        Some("omitted") => Ok(Shown::Omitted),
        _ => Ok(Shown::Whole),
    }
}
