//! What was seen, and what it keeps from working.

use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use mxfp4_env::Layout;

use super::check::Check;
use super::facts::Facts;
use super::finding::{Finding, State};
use super::goal::Goal;
use crate::context::Context;

/// What was seen of one thing.
pub struct Row {
    /// What it is.
    pub check: &'static Check,
    /// What there is.
    pub finding: Finding,
    /// How long the look took.
    pub took: Duration,
}

impl Row {
    /// Whether `goal` cannot work because of it.
    fn blocks(&self, goal: Goal, layout: Layout) -> bool {
        self.finding.state == State::Failing && (self.check.needed_by)(layout).contains(&goal)
    }
}

/// Everything that was seen.
pub struct Examination<'a> {
    /// The workspace and the variables.
    pub context: &'a Context,
    /// A row for each thing.
    pub rows: Vec<Row>,
}

impl Examination<'_> {
    /// The rows that keep `goal` from working.
    pub fn against(&self, goal: Goal) -> impl Iterator<Item = &Row> {
        let layout = self.context.workspace.layout;
        self.rows.iter().filter(move |row| row.blocks(goal, layout))
    }

    /// Whether `goal` can be reached.
    pub fn works(&self, goal: Goal) -> bool {
        self.against(goal).next().is_none()
    }
}

/// Looks at everything at once: some of it starts programs, which takes a while.
pub fn examine(facts: &Facts, checks: &'static [Check]) -> anyhow::Result<Vec<Row>> {
    thread::scope(|scope| {
        let started: Vec<_> = checks
            .iter()
            .map(|check| {
                scope.spawn(move || {
                    let start = Instant::now();
                    (check.look)(facts).map(|finding| Row {
                        check,
                        finding,
                        took: start.elapsed(),
                    })
                })
            })
            .collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}
