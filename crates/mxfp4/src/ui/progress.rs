//! Says which step a command is at, what goes on in it, and how long it took.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::context::Verbosity;
use crate::ui::color::{self, styled};

/// Words of MAX's log that tell a phase of a start from its chatter.
const PHASES: [&str; 4] = ["ompiling ", "Building ", " took ", "Starting "];

/// The steps of a command, on stderr.
pub struct Steps {
    verbosity: Verbosity,
    total: usize,
    number: usize,
    started: Instant,
}

impl Steps {
    /// So many steps are to come.
    pub fn new(verbosity: Verbosity, total: usize) -> Self {
        Self {
            verbosity,
            total,
            number: 0,
            started: Instant::now(),
        }
    }

    /// The next step begins.
    pub fn begin(&mut self, what: &str) {
        self.number += 1;
        self.started = Instant::now();
        let number = format_args!("[{}/{}]", self.number, self.total).to_string();
        self.say(format_args!("{} {what}", styled(color::STEP, number)));
    }

    /// The step has ended well.
    pub fn done(&self, result: impl Display) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.say(format_args!("      {result} ({seconds:.1} s)"));
    }

    /// What shows the phases of this step, which takes long.
    pub fn progress(&self) -> Progress {
        let animate = self.verbosity == Verbosity::Normal && io::stderr().is_terminal();
        Progress {
            verbosity: self.verbosity,
            bar: animate.then(|| {
                let style = ProgressStyle::with_template("      {spinner} {elapsed} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                let bar = ProgressBar::new_spinner().with_style(style);
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            }),
        }
    }

    fn say(&self, line: std::fmt::Arguments) {
        if self.verbosity != Verbosity::Quiet {
            eprintln!("{line}");
        }
    }
}

/// The phases of a step, in one line that changes on a terminal and in a line each elsewhere.
pub struct Progress {
    verbosity: Verbosity,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Takes note of a line of MAX's log.
    pub fn line(&self, line: &str) {
        let phase = phase(line);
        match (&self.bar, phase, self.verbosity) {
            (Some(bar), Some(phase), _) => bar.set_message(phase.to_owned()),
            (None, _, Verbosity::Verbose) => eprintln!("      {line}"),
            (None, Some(phase), Verbosity::Normal) => eprintln!("      {phase}"),
            _ => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `12:34:56.789 INFO: Building model graph took 0.0 seconds`, without time and level, where it tells a phase.
fn phase(line: &str) -> Option<&str> {
    let (_, message) = line.split_once(" INFO: ")?;
    PHASES
        .iter()
        .any(|word| message.contains(word))
        .then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_told_from_chatter() {
        for (line, expect) in [
            (
                "20:18:43.890 INFO: Still compiling model (60.0s elapsed)",
                Some("Still compiling model (60.0s elapsed)"),
            ),
            (
                "20:17:43.893 INFO: Building model graph took 0.0 seconds",
                Some("Building model graph took 0.0 seconds"),
            ),
            ("20:17:43.869 INFO: cache_memory: 1.00 TiB", None),
            (
                "20:17:43.869 INFO: Skipping memory estimation (cross-compilation)",
                None,
            ),
            ("20:17:43.869 WARNING: compiling", None),
            ("compiling", None),
        ] {
            assert_eq!(phase(line), expect);
        }
    }
}
