//! What a start shows: a live line on a terminal, a line a phase elsewhere, or events for a program.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mxfp4_launch::{Error, Level, Levels, Startup, Watcher};
use mxfp4_process::{Line, Stream};
use serde_json::{Value, json};

use crate::context::Verbosity;
use crate::ui::access_log::{self, Place};
use crate::ui::json_error::event;
use crate::ui::progress::Progress;
use mxfp4_toolchain::visible::visible;

/// As many as fit into 80 columns, the longest numbers and words included.
const PHASES_A_LINE: usize = 3;

/// Shows a start, and passes MAX's log on.
pub struct View {
    mode: Mode,
    quiet: bool,
    /// Where MAX's whole log goes; what is shown is then what needs a person.
    log: Option<File>,
    levels: Levels,
}

enum Mode {
    /// A line that changes, below MAX's log.
    Live(ProgressBar),
    /// A line each.
    Plain,
    /// JSON on standard output.
    Events,
    /// A step of another command.
    Step(Progress),
}

impl View {
    /// `events` are for a program, `log` takes MAX's whole log.
    pub fn new(verbosity: Verbosity, events: bool, log: Option<File>) -> Self {
        // Told of where MAX tells of what it does.
        if let Some(file) = log.as_ref().and_then(|log| log.try_clone().ok()) {
            access_log::goes_to(Place::File(file));
        }
        let quiet = verbosity == Verbosity::Quiet;
        let mode = if events {
            Mode::Events
        } else if !quiet && io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            Mode::Live(ProgressBar::new_spinner().with_style(style))
        } else {
            Mode::Plain
        };
        Self {
            mode,
            quiet,
            log,
            levels: Levels::default(),
        }
    }

    /// For a start that is one step of another command.
    pub fn step(progress: Progress) -> Self {
        access_log::goes_to(Place::Nowhere);
        Self {
            mode: Mode::Step(progress),
            quiet: false,
            log: None,
            levels: Levels::default(),
        }
    }

    /// Takes the live line away.
    fn clear(&self) {
        if let Mode::Live(bar) = &self.mode {
            bar.finish_and_clear();
        }
    }
}

impl Watcher for View {
    fn phase(&mut self, start: &Startup) {
        let phase = start.phase();
        match &self.mode {
            Mode::Live(_) => self.tick(start),
            Mode::Step(_) => {}
            Mode::Plain if self.quiet => {}
            Mode::Plain => eprintln!("{}{}", start.phase().doing(), left(start)),
            Mode::Events => {
                if let Some(time) = start.times().last() {
                    event(
                        &json!({"event": "phase", "phase": time.phase, "state": "end", "seconds": rounded(time.seconds)}),
                    );
                }
                event(&json!({
                    "event": "phase", "phase": phase, "state": "start", "at": seconds(start.elapsed()),
                    "left": start.left().map(seconds),
                }));
            }
        }
    }

    fn tick(&self, start: &Startup) {
        if let Mode::Live(bar) = &self.mode
            && !start.is_ready()
        {
            bar.set_message(sentence(start));
            bar.tick();
        }
    }

    fn line(&mut self, line: &Line) {
        let level = self.levels.of(&line.text);
        let kept = self
            .log
            .as_mut()
            .is_some_and(|log| writeln!(log, "{}", line.text).is_ok());
        if let Mode::Events = self.mode
            && level != Level::Info
        {
            event(&json!({"event": "log", "level": level.name(), "text": line.text}));
        }
        if kept && level == Level::Info {
            return;
        }
        match &self.mode {
            Mode::Live(bar) => bar.suspend(|| echo(line, false)),
            Mode::Plain => echo(line, false),
            Mode::Step(progress) => progress.line(&line.text),
            // Standard output holds the events alone.
            Mode::Events => echo(line, true),
        }
    }

    fn say(&self, news: &str) {
        match &self.mode {
            Mode::Live(bar) => bar.suspend(|| tracing::info!("{news}")),
            Mode::Plain | Mode::Events => tracing::info!("{news}"),
            Mode::Step(_) => {}
        }
    }

    fn ready(&mut self, start: &Startup, url: &str, compiled: bool) {
        if let Mode::Events = self.mode {
            let times = start.times();
            if let Some(time) = times.last() {
                event(
                    &json!({"event": "phase", "phase": time.phase, "state": "end", "seconds": rounded(time.seconds)}),
                );
            }
            let phases: serde_json::Map<String, Value> = times
                .iter()
                .map(|time| (time.phase.to_string(), rounded(time.seconds).into()))
                .collect();
            event(&json!({
                "event": "ready", "url": url, "seconds": seconds(start.elapsed()), "phases": phases, "compiled": compiled,
            }));
        }
        self.clear();
        let elapsed = start.elapsed().as_secs_f64();
        self.say(&format!("ready on {url} after {elapsed:.1} s"));
        // A terminal of 80 columns would break one line of all phases somewhere.
        for line in start.summary(compiled).chunks(PHASES_A_LINE) {
            self.say(&format!("  {}", line.join(", ")));
        }
    }

    fn ended(&self, code: i32, error: Option<&Error>) {
        self.clear();
        if let Mode::Events = self.mode {
            event(&json!({
                "event": "exit",
                "code": code,
                "error": error.map(message),
                "kind": error.map(|error| error.exit().name()),
                "hint": error.and_then(Error::hint),
            }));
        }
    }
}

/// `compiling the model for 12 s, 40 s in all, about 180 s left`.
fn sentence(start: &Startup) -> String {
    let (here, all) = (start.in_phase().as_secs(), start.elapsed().as_secs());
    let fetched = start.fetched().map_or_else(String::new, |bytes| {
        format!(", {:.1} GB fetched", bytes as f64 / 1e9)
    });
    format!(
        "{} for {here} s, {all} s in all{fetched}{}",
        start.phase().doing(),
        left(start)
    )
}

/// `, about 180 s left`, where the last start tells.
fn left(start: &Startup) -> String {
    start.left().map_or_else(String::new, |left| {
        format!(", about {} s left", left.as_secs() + 1)
    })
}

/// Passes a line of the server on to the stream it was written to. That nobody reads is no reason to stop serving.
fn echo(line: &Line, to_stderr: bool) {
    let to_stderr = to_stderr || line.stream == Stream::Stderr;
    let is_terminal = if to_stderr {
        io::stderr().is_terminal()
    } else {
        io::stdout().is_terminal()
    };
    let text = if is_terminal {
        visible(&line.text)
    } else {
        line.text.as_str().into()
    };
    if to_stderr {
        eprintln!("{text}");
    } else {
        println!("{text}");
    }
}

/// The error and its causes, in one line.
fn message(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn seconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64())
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
