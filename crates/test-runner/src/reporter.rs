use std::sync::{Mutex, PoisonError};

use mxfp4_toolchain::visible::visible;

use crate::report::{Case, Language, Report};
use crate::screen::{Row, Screen};

/// What a job tells of its tests: it is shown, and counted in the report that all jobs share.
pub struct Reporter<'a> {
    screen: &'a dyn Screen,
    report: &'a Mutex<Report>,
    row: Option<Box<dyn Row + 'a>>,
    /// What its tests have printed and nobody has seen: lines of different tests must not mix.
    held: String,
}

impl<'a> Reporter<'a> {
    /// For a job that begins.
    pub fn new(screen: &'a dyn Screen, report: &'a Mutex<Report>) -> Self {
        Self {
            screen,
            report,
            row: screen.row(),
            held: String::new(),
        }
    }

    /// Counts a language that may have no test.
    pub fn begin(&self, language: Language) {
        self.with_report(|report| report.begin(language));
    }

    /// Shows a line of what a test prints, for those who want to see everything: at once where no other job runs.
    pub fn chatter(&mut self, line: &str) {
        if !self.screen.is_verbose() {
            return;
        }
        if self.screen.is_shared() {
            self.held += &visible(line);
            self.held.push('\n');
        } else {
            self.screen.line(&visible(line));
        }
    }

    /// Shows what the job is at.
    pub fn running(&self, what: &str) {
        if let Some(row) = &self.row {
            row.running(what);
        }
        self.head(what);
    }

    /// Shows and counts how a test ended.
    pub fn ended(&mut self, case: Case) {
        self.screen.ended(&case, &std::mem::take(&mut self.held));
        self.with_report(|report| report.add(case));
        if self.row.is_some() {
            self.head("");
        }
    }

    /// Takes note of a module that was asked for by name and skipped as a whole.
    pub fn missed(&self, module: &str, reason: &str) {
        self.with_report(|report| report.miss(module, reason));
    }

    /// Shows that a test failed and is tried again.
    pub fn retry(&mut self, case: &Case) {
        self.screen.retry(case, &std::mem::take(&mut self.held));
    }

    fn head(&self, what: &str) {
        let counts = self.with_report(|report| report.counts());
        self.screen.head(&counts, what);
    }

    fn with_report<T>(&self, work: impl FnOnce(&mut Report) -> T) -> T {
        work(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Reporter<'_> {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.screen.line(held.trim_end_matches('\n'));
        }
    }
}
