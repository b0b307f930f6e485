//! The tables of the serving benchmark.

use super::level::{Level, Spread};
use super::record::Record;
use crate::commands::bench::table::{Column, NOTHING, head, line, number};
use mxfp4_toolchain::visible::visible;

/// The columns of [`cells`].
pub const LEVEL: [Column; 12] = [
    number("in/out", 9),
    number("at once", 7),
    number("requests", 8),
    number("lost", 5),
    number("tok/s", 8),
    number("req/s", 7),
    number("TTFT p50 ms", 11),
    number("p99", 8),
    number("TPOT p50 ms", 11),
    number("p99", 7),
    number("ITL p50 ms", 10),
    number("p99", 7),
];

/// The columns of [`comparison`].
pub const COMPARISON: [Column; 8] = [
    number("in/out", 9),
    number("at once", 7),
    number("tok/s", 8),
    number("peer", 8),
    number("ratio", 6),
    number("TPOT p50 ms", 11),
    number("peer", 7),
    number("ratio", 6),
];

/// A level's cells.
pub fn cells(level: &Level) -> [String; 12] {
    [
        format!("{}/{}", level.input, level.output),
        level.concurrency.to_string(),
        level.requests.to_string(),
        (level.failed + level.short).to_string(),
        format!("{:.1}", level.tokens_per_second()),
        format!("{:.2}", level.requests_per_second()),
        told(level.ttft_ms.p50, 1),
        told(level.ttft_ms.p99, 1),
        told(level.tpot_ms.p50, 2),
        told(level.tpot_ms.p99, 2),
        told(level.itl_ms.p50, 2),
        told(level.itl_ms.p99, 2),
    ]
}

/// What names a level in a page, among our levels or in the comparison.
pub fn id(level: &Level, is_compared: bool) -> String {
    let table = if is_compared { "compared" } else { "row" };
    format!(
        "{table}-{}-{}-{}",
        level.input, level.output, level.concurrency
    )
}

/// The cells of every level beside the peer's: what is better is above 1 in both ratios.
pub fn comparison(record: &Record) -> Vec<[String; 8]> {
    let cells = |level: &Level| {
        let peer = record.peer_of(level)?;
        let rates = (level.tokens_per_second(), peer.tokens_per_second());
        let median = |spread: &Spread| spread.p50.filter(|time| *time > 0.0);
        let times = median(&level.tpot_ms).zip(median(&peer.tpot_ms));
        Some([
            format!("{}/{}", level.input, level.output),
            level.concurrency.to_string(),
            format!("{:.1}", rates.0),
            format!("{:.1}", rates.1),
            ratio((rates.1 > 0.0).then_some(rates.0 / rates.1)),
            told(level.tpot_ms.p50, 2),
            told(peer.tpot_ms.p50, 2),
            ratio(times.map(|(ours, theirs)| theirs / ours)),
        ])
    };
    record.levels.iter().filter_map(cells).collect()
}

fn told(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| NOTHING.into(), |number| format!("{number:.digits$}"))
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| NOTHING.into(), |ratio| format!("{ratio:.2}x"))
}

/// Prints the levels of a run as they come.
#[derive(Default)]
pub struct Printer {
    begun: bool,
}

impl Printer {
    /// Prints a level, the first one below the columns' titles.
    pub fn level(&mut self, level: &Level) {
        if !self.begun {
            self.begun = true;
            println!("{}", head(&LEVEL));
        }
        println!("{}", line(&LEVEL, &cells(level)));
    }
}

/// Prints a recorded run.
pub fn print(record: &Record) {
    println!("{}", record.command);
    if let Some(gpu) = &record.gpu {
        println!("{}, driver {}", gpu.name, gpu.driver);
    }
    println!();
    let mut printer = Printer::default();
    for level in &record.levels {
        printer.level(level);
    }
    print_rest(record);
}

/// Prints what is known once all levels are: the peer, the memory, the start, what went wrong.
pub fn print_rest(record: &Record) {
    let comparison = comparison(record);
    if !comparison.is_empty() {
        println!("\ncompared with the peer, above 1x is better than it:\n");
        println!("{}", head(&COMPARISON));
        for cells in comparison {
            println!("{}", line(&COMPARISON, &cells));
        }
    }
    println!();
    for sentence in sentences(record) {
        println!("{sentence}");
    }
}

/// What no table holds.
pub fn sentences(record: &Record) -> Vec<String> {
    let mut sentences = Vec::new();
    let memory = record.levels.iter().filter_map(|level| level.gpu_memory);
    sentences.push(match memory.max() {
        Some(bytes) => format!(
            "GPU memory in use at most: {:.1} GiB",
            bytes as f64 / (1u64 << 30) as f64
        ),
        None => "GPU memory in use: no driver told".into(),
    });
    sentences.extend(record.start_sentence());
    for (whose, levels) in [("", &record.levels), ("the peer, ", &record.peer)] {
        for level in levels.iter().filter(|level| level.failed + level.short > 0) {
            sentences.push(format!(
                "lost: {whose}{}/{} at {}: {} of {} requests failed, {} had another number of tokens: {}",
                level.input,
                level.output,
                level.concurrency,
                level.failed,
                level.requests,
                level.short,
                // A server may have put anything into them.
                visible(&level.errors.join("; "))
            ));
        }
    }
    sentences
}
