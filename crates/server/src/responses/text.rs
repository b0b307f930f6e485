//! An item whose text is coming.

use mxfp4_harmony::Kind;

use super::item::{OutputItem, Part, Phase, Status};
use crate::answer::Score;

/// Reasoning or a message while it comes.
pub(super) struct Text {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) scores: Vec<Score>,
    /// How much of both was told.
    told: usize,
    told_scores: usize,
}

impl Text {
    pub(super) fn new(kind: Kind, id: String) -> Self {
        Self {
            kind,
            id,
            text: String::new(),
            scores: Vec::new(),
            told: 0,
            told_scores: 0,
        }
    }

    /// The prefix of such an item's id.
    pub(super) fn prefix(kind: Kind) -> &'static str {
        match kind {
            Kind::Reasoning => "rs",
            Kind::Preamble | Kind::Final => "msg",
        }
    }

    pub(super) fn is_reasoning(&self) -> bool {
        self.kind == Kind::Reasoning
    }

    /// The names of the events of a piece, and of the whole.
    pub(super) fn events(&self) -> (&'static str, &'static str) {
        match self.kind {
            Kind::Reasoning => (
                "response.reasoning_text.delta",
                "response.reasoning_text.done",
            ),
            Kind::Preamble | Kind::Final => {
                ("response.output_text.delta", "response.output_text.done")
            }
        }
    }

    /// What was not told yet, which is told then; [`None`] where there is nothing.
    pub(super) fn news(&mut self) -> Option<(&str, &[Score])> {
        if self.told == self.text.len() {
            return None;
        }
        let news = (&self.text[self.told..], &self.scores[self.told_scores..]);
        self.told = self.text.len();
        self.told_scores = self.scores.len();
        Some(news)
    }

    /// The text as a part of an item.
    pub(super) fn part(&self) -> Part {
        let text = self.text.clone();
        match self.kind {
            Kind::Reasoning => Part::ReasoningText { text },
            Kind::Preamble | Kind::Final => Part::OutputText {
                text,
                annotations: [],
                logprobs: self.scores.clone(),
            },
        }
    }

    /// The item. One that has just begun has no part.
    pub(super) fn item(&self, status: Status, sealed: Option<String>) -> OutputItem {
        let content = match status {
            Status::InProgress => Vec::new(),
            _ => vec![self.part()],
        };
        let id = self.id.clone();
        match self.kind {
            Kind::Reasoning => OutputItem::Reasoning {
                id,
                summary: [],
                content,
                encrypted_content: sealed,
                status,
            },
            kind => OutputItem::Message {
                id,
                role: "assistant",
                status,
                phase: match kind {
                    Kind::Preamble => Phase::Commentary,
                    _ => Phase::FinalAnswer,
                },
                content,
            },
        }
    }
}
