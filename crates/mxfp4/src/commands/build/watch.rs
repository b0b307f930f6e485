//! `mxfp4 build --watch`: build and test whenever a source has changed.

mod changes;
mod sources;

use std::time::{Duration, Instant};

use mxfp4_env::Workspace;
use serde_json::json;

use self::changes::Changes;
use self::sources::{Looked, Sources};
use super::args::Args;
use super::once::build;
use crate::commands::test;
use crate::context::Context;
use crate::exit;
use crate::ui::color::{self, styled};
use crate::ui::error;
use crate::ui::json_error::JsonError;
use crate::ui::message_format::{self, MessageFormat};

/// How long nothing may change before a save counts as over: editors write, rename and touch in a row.
const QUIET: Duration = Duration::from_millis(200);
/// How long a save may go on: something that writes all the time must not keep a round from beginning.
const LONGEST_SAVE: Duration = Duration::from_secs(5);

/// Builds and tests, now and after each change, until a signal ends it.
pub fn run(context: Context, args: &Args) -> anyhow::Result<i32> {
    let mut context = context;
    let mut changes = Changes::default();
    let mut number = 0;
    loop {
        number += 1;
        let sources = Sources::of(&context);
        // What changes from here on is another round.
        let before = changes.look(&sources, None);
        let round = Round::run(&context, args);
        if let Some(signal) = round.interrupted {
            return Ok(signal);
        }
        round.report(&context, args, number, before.count());
        wait_for_change(&sources, before, &mut changes);
        context = again(context, args.build.message_format, &mut changes);
    }
}

/// The context with the configuration as it is now. While that is wrong nothing else can be done.
fn again(context: Context, format: MessageFormat, changes: &mut Changes) -> Context {
    let root = context.workspace.root.clone();
    let configuration = Sources::configuration(&root);
    let mut told = String::new();
    loop {
        let before = changes.look(&configuration, None);
        match Workspace::find(Some(&root), &context.cwd) {
            Ok(workspace) => {
                return Context {
                    workspace,
                    ..context
                };
            }
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    let error = error.into();
                    error::print(&error);
                    match format {
                        MessageFormat::Json => JsonError::Message.print(&error),
                        MessageFormat::Human => status(&format!(
                            "waiting for {}",
                            root.join("mxfp4.toml").display()
                        )),
                    }
                }
                told = text;
                wait_for_change(&configuration, before, changes);
            }
        }
    }
}

/// Returns when the content of `sources` is another than `before`, and has stayed so for a while.
fn wait_for_change(sources: &Sources, before: Looked, changes: &mut Changes) {
    let mut now = before;
    // What happened since `before` may be over already.
    loop {
        let mut next = changes.look(sources, Some(&now));
        if !next.is_like(&now) {
            let begin = Instant::now();
            loop {
                std::thread::sleep(QUIET);
                let settled = changes.look(sources, Some(&next));
                let is_over = settled.is_like(&next) || begin.elapsed() > LONGEST_SAVE;
                next = settled;
                if is_over {
                    break;
                }
            }
            // A file that was written as it was is no change.
            if !next.is_like(&now) {
                return;
            }
        }
        changes.wait(next.time);
        now = next;
    }
}

/// One build and its tests.
struct Round {
    /// What each part came to, in words.
    parts: Vec<String>,
    success: bool,
    /// The exit code, when a signal ended it.
    interrupted: Option<i32>,
    time: Duration,
}

impl Round {
    fn run(context: &Context, args: &Args) -> Self {
        let start = Instant::now();
        let mut round = Self {
            parts: Vec::new(),
            success: true,
            interrupted: None,
            time: Duration::ZERO,
        };
        match build(context, &args.build, args.no_setup) {
            Ok(()) => round.parts.push("built".to_owned()),
            Err(error) => round.failed("build", &error, args.build.message_format),
        }
        if round.success && !args.no_test {
            let (expr, format) = (args.filter.as_deref(), args.build.message_format);
            match test::run_watched(context, expr, &args.tests, format) {
                Ok(ran) => {
                    round.success = ran.code == 0;
                    round.interrupted = (ran.code > 128).then_some(ran.code);
                    round.parts.push(ran.counts);
                }
                Err(error) => round.failed("test", &error, args.build.message_format),
            }
        }
        round.time = start.elapsed();
        round
    }

    fn failed(&mut self, what: &str, error: &anyhow::Error, format: MessageFormat) {
        error::print(error);
        if format.is_json() {
            JsonError::Message.print(error);
        }
        let code = i32::from(exit::of(error).code());
        self.interrupted = (code > 128).then_some(code);
        self.success = false;
        self.parts.push(format!("{what} failed"));
    }

    fn report(&self, context: &Context, args: &Args, number: usize, files: usize) {
        if args.build.message_format.is_json() {
            message_format::print(&json!({
                "reason": "round-finished",
                "number": number,
                "success": self.success,
                "seconds": self.time.as_secs_f64(),
            }));
            return;
        }
        if context.is_quiet() {
            return;
        }
        let (style, word) = match self.success {
            true => (color::GOOD, "ok"),
            false => (color::ERROR, "FAILED"),
        };
        let word = styled(style, word);
        status(&format!(
            "{word}: {} in {:.1} s",
            self.parts.join(", "),
            self.time.as_secs_f64()
        ));
        status(&format!("watching {files} files; Ctrl-C ends"));
    }
}

/// A line of the watch itself, with the time of day.
fn status(text: &str) {
    eprintln!(
        "[{}] {text}",
        jiff::ZonedDateTime::now().strftime("%H:%M:%S")
    );
}
