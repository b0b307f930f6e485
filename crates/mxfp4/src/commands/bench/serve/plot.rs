//! The charts of a serving run.

use super::level::Level;
use super::record::Record;
use super::table;
use crate::commands::bench::chart::{Axis, Chart, Line, Panel, Point};
use crate::commands::bench::file::INDEX;
use crate::commands::bench::plot::Drawn;

/// All charts of a run, in the order in which a page shows them.
pub fn all(record: &Record) -> Vec<Drawn> {
    vec![
        ("throughput.svg", throughput(record).svg(INDEX)),
        ("tpot.svg", tpot(record).svg(INDEX)),
    ]
}

/// Tokens a second over requests at once.
fn throughput(record: &Record) -> Chart {
    chart(
        record,
        "How many tokens a second?",
        "tokens of all answers a second",
        |level| Some(level.tokens_per_second()),
    )
}

/// Milliseconds a token over requests at once.
fn tpot(record: &Record) -> Chart {
    chart(
        record,
        "How long does an answer's next token take?",
        "ms for each token after the first, the median request",
        |level| level.tpot_ms.p50,
    )
}

/// A panel for each shape, with a line for each server.
fn chart(record: &Record, title: &str, what: &str, read: fn(&Level) -> Option<f64>) -> Chart {
    let servers: Vec<(&str, &[Level])> = [
        ("mxfp4", record.levels.as_slice()),
        ("peer", record.peer.as_slice()),
    ]
    .into_iter()
    .filter(|(_, levels)| !levels.is_empty())
    .collect();
    let levels = || servers.iter().flat_map(|(_, levels)| *levels);
    let mut shapes: Vec<(u32, u32)> = Vec::new();
    for level in levels() {
        if !shapes.contains(&shape(level)) {
            shapes.push(shape(level));
        }
    }
    let panels = shapes.iter().map(|of| Panel {
        title: format!("{} tokens in, {} out", of.0, of.1),
        lines: lines(*of, &servers, read),
        limits: Vec::new(),
    });
    let gpu = record.gpu.as_ref();
    Chart {
        title: title.to_owned(),
        subtitle: gpu.map_or_else(String::new, |gpu| format!("on {}", gpu.name)),
        x: Axis::logarithmic(
            "requests at once",
            2.0,
            levels().map(|level| f64::from(level.concurrency.get())),
        ),
        y: Axis::from_zero(what, levels().filter_map(read)),
        names: servers.iter().map(|(name, _)| (*name).to_owned()).collect(),
        has_numbers: servers.len() == 1,
        columns: shapes.len().min(2),
        panels: panels.collect(),
    }
}

fn lines(
    of: (u32, u32),
    servers: &[(&str, &[Level])],
    read: fn(&Level) -> Option<f64>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, (name, levels)) in servers.iter().enumerate() {
        let of_shape = levels.iter().filter(|level| shape(level) == of);
        let points: Vec<Point> = of_shape
            .filter_map(|level| {
                Some(Point {
                    at: (f64::from(level.concurrency.get()), read(level)?),
                    spread: None,
                    says: says(name, level),
                    row: table::id(level, number > 0),
                })
            })
            .collect();
        if !points.is_empty() {
            lines.push(Line::new(number, points));
        }
    }
    lines
}

/// A level in one sentence.
fn says(name: &str, level: &Level) -> String {
    let tpot = level.tpot_ms.p50;
    format!(
        "{name}, {}/{} at {}: {:.1} tok/s{}",
        level.input,
        level.output,
        level.concurrency,
        level.tokens_per_second(),
        tpot.map_or_else(String::new, |ms| format!(", {ms:.2} ms a token"))
    )
}

fn shape(level: &Level) -> (u32, u32) {
    (level.input.get(), level.output.get())
}
