use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anstyle::Style;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mxfp4_test_runner::{Case, Row, Screen, Verdict};
use mxfp4_toolchain::visible::visible;

use crate::context::{Context, Verbosity};
use crate::ui::color::{self, styled_stdout};
use crate::ui::message_format::{self, MessageFormat};

/// How many of the jobs that run have a line at most: what has ended is to be seen as well.
const ROWS: usize = 8;

/// Where a test run shows how it goes: a line for each test that has ended, and on a terminal some that say what runs.
pub struct TestScreen {
    format: MessageFormat,
    /// Whether everything is shown that the tests print.
    verbose: bool,
    /// The columns of the terminal that the lines go to; none elsewhere.
    width: Option<usize>,
    /// Whether several jobs may show something at once.
    shared: bool,
    bars: Option<Bars>,
}

/// The lines that change.
struct Bars {
    all: MultiProgress,
    /// The counts, and of a single job what it is at.
    head: ProgressBar,
    rows: AtomicUsize,
}

/// The line of one of several jobs, until it is dropped.
struct Line<'a> {
    bars: &'a Bars,
    /// None where there are enough.
    bar: Option<ProgressBar>,
}

impl TestScreen {
    /// A screen for results in this format, of so many jobs at once.
    pub fn new(context: &Context, format: MessageFormat, jobs: usize) -> Self {
        let terminal = console::Term::stdout();
        let animate = context.verbosity == Verbosity::Normal && io::stderr().is_terminal();
        Self {
            format,
            verbose: context.verbosity == Verbosity::Verbose,
            width: terminal
                .size_checked()
                .map(|(_, columns)| usize::from(columns).max(20)),
            shared: jobs > 1,
            bars: animate.then(Bars::new),
        }
    }

    /// What a test printed, each line after a line break.
    fn output(&self, output: &str) -> String {
        // What was passed on already is not repeated.
        if self.verbose {
            return String::new();
        }
        let lines = output.lines();
        lines
            .map(|line| format!("\n    {}", visible(line)))
            .collect()
    }

    fn result(&self, word: &str, style: Style, time: Duration, text: &str) -> String {
        let text = visible(text);
        let start = format!("{word:>5} [{:>7.2}s] ", time.as_secs_f64());
        let text = match self.width {
            // A broken line is harder to read than one with its end cut off; the summary has it whole.
            Some(width) => console::truncate_str(&text, width.saturating_sub(start.len()), "…"),
            None => text,
        };
        let rest = &start[word.len().max(5)..];
        let word = format!("{word:>5}");
        format!("{}{rest}{text}", styled_stdout(style, word))
    }
}

impl Screen for TestScreen {
    fn is_verbose(&self) -> bool {
        self.verbose
    }

    fn is_shared(&self) -> bool {
        self.shared
    }

    fn line(&self, text: &str) {
        if self.format.is_json() {
            return;
        }
        match &self.bars {
            Some(bars) => bars.all.suspend(|| println!("{text}")),
            None => println!("{text}"),
        }
    }

    fn warning(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.all.suspend(|| tracing::warn!("{text}")),
            None => tracing::warn!("{text}"),
        }
    }

    fn row(&self) -> Option<Box<dyn Row + '_>> {
        let bars = self.bars.as_ref().filter(|_| self.shared)?;
        Some(Box::new(Line::new(bars)))
    }

    fn head(&self, counts: &str, what: &str) {
        if let Some(bars) = &self.bars {
            bars.head.set_message(match self.shared {
                true => format!("{counts}; {} running", bars.rows.load(Ordering::Relaxed)),
                false => format!("{counts}; {}", visible(what)),
            });
        }
    }

    fn ended(&self, case: &Case, before: &str) {
        if self.format.is_json() {
            message_format::print(&case.to_json());
            return;
        }
        let (word, style, reason) = match &case.verdict {
            Verdict::Passed => ("PASS", color::GOOD, None),
            Verdict::Flaky(_) => ("FLAKY", color::WARNING, None),
            Verdict::Failed(reason) => ("FAIL", color::ERROR, Some(reason)),
            Verdict::Skipped(reason) => ("SKIP", color::DIM, Some(reason)),
        };
        let mut text = format!("{}: {}", case.language, case.name);
        if let Some(reason) = reason.and_then(|reason| reason.lines().next()) {
            text = format!("{text}: {reason}");
        }
        let mut block = format!("{before}{}", self.result(word, style, case.time, &text));
        if matches!(case.verdict, Verdict::Failed(_)) {
            block += &self.output(&case.output);
        }
        self.line(&block);
    }

    fn retry(&self, case: &Case, before: &str) {
        let reason = case.verdict.reason().unwrap_or_default();
        let reason = reason.lines().next().unwrap_or_default();
        let text = format!("{}: {}: {reason}", case.language, case.name);
        let result = self.result("RETRY", color::WARNING, case.time, &text);
        self.line(&format!("{before}{result}{}", self.output(&case.output)));
    }
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let head = spinner(&all, "{spinner} {elapsed} {wide_msg}");
        let rows = AtomicUsize::new(0);
        Self { all, head, rows }
    }
}

impl<'a> Line<'a> {
    fn new(bars: &'a Bars) -> Self {
        let before = bars.rows.fetch_add(1, Ordering::Relaxed);
        let bar = (before < ROWS).then(|| spinner(&bars.all, "  {elapsed:>4} {wide_msg}"));
        Self { bars, bar }
    }
}

impl Row for Line<'_> {
    fn running(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.reset_elapsed();
            bar.set_message(visible(what).into_owned());
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.bars.all.remove(bar);
        }
        self.bars.rows.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spinner(all: &MultiProgress, template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    // One that ticks before it is added draws a line of its own, which stays.
    let bar = all.add(ProgressBar::new_spinner().with_style(style));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.head.finish_and_clear();
    }
}
