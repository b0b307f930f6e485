//! Log lines, on stderr: stdout belongs to what a command was asked to print.

use std::time::Instant;

use mxfp4_env::Environment;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::access_log;
use super::color::{self, styled};
use crate::context::Verbosity;

/// Starts the log. `timed` is for who wants to know it all.
pub fn start(verbosity: Verbosity, timed: bool) {
    let level = match verbosity {
        Verbosity::Quiet => tracing::Level::WARN,
        Verbosity::Normal => tracing::Level::INFO,
        Verbosity::Verbose if timed => tracing::Level::TRACE,
        Verbosity::Verbose => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_writer(access_log::Writer)
        .with_ansi(color::on_stderr())
        .with_max_level(level)
        .event_format(Line {
            since: timed.then(Instant::now),
        })
        .init();
}

/// Says what the user should know about an environment.
pub fn warnings(environment: &Environment) {
    for warning in &environment.warnings {
        tracing::warn!("{warning}");
    }
}

/// A log line as a person reads it: `warning: ...`, and what is no news without a prefix.
struct Line {
    /// What the time before each line counts from.
    since: Option<Instant>,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        if let Some(since) = self.since {
            write!(writer, "{:8.3} ", since.elapsed().as_secs_f64())?;
        }
        match *event.metadata().level() {
            tracing::Level::ERROR => write!(writer, "{} ", styled(color::ERROR, "error:"))?,
            tracing::Level::WARN => write!(writer, "{} ", styled(color::WARNING, "warning:"))?,
            _ => {}
        }
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
