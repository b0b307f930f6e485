//! How much the model thinks before it answers.

use std::str::FromStr;

/// The line `Reasoning: …` of the system message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effort {
    /// Short reasoning.
    Low,
    /// What the model does when nothing is asked.
    #[default]
    Medium,
    /// Long reasoning.
    High,
}

impl Effort {
    /// The word in the system message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A word that names no effort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no reasoning effort is called {0:?}: use none, minimal, low, medium, high, xhigh or max")]
pub struct UnknownEffort(pub String);

impl FromStr for Effort {
    type Err = UnknownEffort;

    /// The model knows three efforts. `none` and `minimal` are low, `xhigh` and `max` are high.
    fn from_str(word: &str) -> Result<Self, UnknownEffort> {
        match word {
            "none" | "minimal" | "low" => Ok(Self::Low),
            "medium" => Ok(Self::Medium),
            "high" | "xhigh" | "max" => Ok(Self::High),
            other => Err(UnknownEffort(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_models_are_the_nearest_effort() {
        let all = [
            ("none", Effort::Low),
            ("minimal", Effort::Low),
            ("low", Effort::Low),
            ("medium", Effort::Medium),
            ("high", Effort::High),
            ("xhigh", Effort::High),
            ("max", Effort::High),
        ];
        for (word, effort) in all {
            assert_eq!(word.parse(), Ok(effort));
        }
        for word in ["", "Low", "extreme"] {
            let error = word.parse::<Effort>().expect_err("there is no such effort");
            assert!(error.to_string().contains("xhigh"), "{error}");
        }
    }
}
