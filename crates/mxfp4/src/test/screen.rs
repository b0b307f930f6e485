use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mxfp4_toolchain::diagnostics::visible;

use super::report::{Case, Report, Verdict};
use crate::context::{Context, Verbosity};
use crate::message_format::{self, MessageFormat, wants_color};

/// Where a test run shows how it goes: a line for each test that has ended, and on a terminal one that says what runs.
pub struct Screen {
    format: MessageFormat,
    verbose: bool,
    color: bool,
    /// The columns of the terminal that the lines go to; none elsewhere.
    width: Option<usize>,
    bar: Option<ProgressBar>,
}

impl Screen {
    /// A screen for results in this format.
    pub fn new(context: &Context, format: MessageFormat) -> Self {
        let terminal = console::Term::stdout();
        let animate = context.verbosity == Verbosity::Normal && io::stderr().is_terminal();
        Self {
            format,
            verbose: context.verbosity == Verbosity::Verbose,
            color: wants_color(io::stdout().is_terminal()),
            width: terminal
                .size_checked()
                .map(|(_, columns)| usize::from(columns).max(20)),
            bar: animate.then(|| {
                let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                let bar = ProgressBar::new_spinner().with_style(style);
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            }),
        }
    }

    /// Prints a line for a person.
    pub fn line(&self, text: &str) {
        if self.format.is_json() {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{text}")),
            None => println!("{text}"),
        }
    }

    /// Shows a line of what a test prints as it runs, for those who want to see everything.
    pub fn chatter(&self, line: &str) {
        if self.verbose {
            self.line(&visible(line));
        }
    }

    /// Shows what runs now.
    pub fn running(&self, report: &Report, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}; {}", report.counts(), visible(what)));
        }
    }

    /// Shows how a test ended.
    pub fn ended(&self, case: &Case) {
        if self.format.is_json() {
            message_format::print(&case.to_json());
            return;
        }
        let (word, color, reason) = match &case.verdict {
            Verdict::Passed => ("PASS", "32", None),
            Verdict::Flaky(_) => ("FLAKY", "33", None),
            Verdict::Failed(reason) => ("FAIL", "31", Some(reason)),
            Verdict::Skipped(reason) => ("SKIP", "2", Some(reason)),
        };
        let mut text = format!("{}: {}", case.language, case.name);
        if let Some(reason) = reason.and_then(|reason| reason.lines().next()) {
            text = format!("{text}: {reason}");
        }
        self.row(word, color, case.time, &text);
        if matches!(case.verdict, Verdict::Failed(_)) {
            self.output(&case.output);
        }
    }

    /// Shows that a test failed and is tried again.
    pub fn retry(&self, case: &Case) {
        let reason = case.verdict.reason().unwrap_or_default();
        let reason = reason.lines().next().unwrap_or_default();
        let text = format!("{}: {}: {reason}", case.language, case.name);
        self.row("RETRY", "33", case.time, &text);
        if !self.format.is_json() {
            self.output(&case.output);
        }
    }

    fn output(&self, output: &str) {
        // What was passed on already is not repeated.
        if self.verbose {
            return;
        }
        for line in output.lines() {
            self.line(&format!("    {}", visible(line)));
        }
    }

    fn row(&self, word: &str, color: &str, time: Duration, text: &str) {
        let text = visible(text);
        let start = format!("{word:>5} [{:>7.2}s] ", time.as_secs_f64());
        let text = match self.width {
            // A broken line is harder to read than one with its end cut off; the summary has it whole.
            Some(width) => console::truncate_str(&text, width.saturating_sub(start.len()), "…"),
            None => text,
        };
        let rest = &start[word.len().max(5)..];
        match self.color {
            true => self.line(&format!("\x1b[1;{color}m{word:>5}\x1b[0m{rest}{text}")),
            false => self.line(&format!("{start}{text}")),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
