//! Tables: their cells, and how they are printed.

use super::measurement::Row;
use super::record::{Limits, Record};

/// A column of a table.
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    width: usize,
    /// Whether it holds words and not numbers.
    pub is_text: bool,
}

/// A column of words.
pub const fn text(title: &'static str, width: usize) -> Column {
    Column {
        title,
        width,
        is_text: true,
    }
}

/// A column of numbers.
pub const fn number(title: &'static str, width: usize) -> Column {
    Column {
        title,
        width,
        is_text: false,
    }
}

/// The columns of [`row`].
pub const ROW: [Column; 10] = [
    number("experts", 7),
    text("routing", 8),
    number("tokens", 6),
    text("projection", 10),
    number("us", 8),
    number("p10 to p90", 18),
    number("GB/s", 6),
    number("% of read", 9),
    number("TFLOP/s", 7),
    number("% of matmul", 11),
];

/// The columns of [`comparison`].
pub const COMPARISON: [Column; 7] = [
    number("experts", 7),
    text("routing", 8),
    number("tokens", 6),
    text("projection", 10),
    number("us", 8),
    number("peer us", 8),
    number("peer/ours", 9),
];

/// What cannot be told.
pub const NOTHING: &str = "-";

/// A row's cells.
pub fn row(row: &Row, limits: &Limits) -> [String; 10] {
    let share = |part: f64, of: Option<f64>| {
        of.map_or_else(
            || NOTHING.into(),
            |whole| format!("{:.1}", 100.0 * part / whole),
        )
    };
    [
        row.experts.to_string(),
        row.routing.clone(),
        row.tokens.to_string(),
        row.projection.to_string(),
        format!("{:.1}", row.median_us),
        format!("{:.1} to {:.1}", row.low_us, row.high_us),
        format!("{:.0}", row.gbs()),
        share(row.gbs(), limits.read_gbs),
        format!("{:.1}", row.tflops()),
        share(row.tflops(), limits.matmul_tflops),
    ]
}

/// What names a row in a page, among our rows or in the comparison.
pub fn id(row: &Row, is_compared: bool) -> String {
    let table = if is_compared { "compared" } else { "row" };
    let routing: String = row
        .routing
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    format!(
        "{table}-{}-{routing}-{}-{}",
        row.experts, row.projection, row.tokens
    )
}

/// The cells of every row beside the peer's; none without a peer.
pub fn comparison(record: &Record) -> Vec<[String; 7]> {
    if record.peer.is_none() {
        return Vec::new();
    }
    let cells = |row: &Row| {
        let peer = record.peer_of(row);
        let told = |text: fn(f64, f64) -> String| {
            peer.map_or_else(
                || NOTHING.into(),
                |peer| text(peer.median_us, row.median_us),
            )
        };
        [
            row.experts.to_string(),
            row.routing.clone(),
            row.tokens.to_string(),
            row.projection.to_string(),
            format!("{:.1}", row.median_us),
            told(|peer, _| format!("{peer:.1}")),
            told(|peer, ours| format!("{:.2}x", peer / ours)),
        ]
    };
    record.rows.iter().map(cells).collect()
}

/// The limits, as a sentence.
pub fn limits(limits: &Limits) -> String {
    let read = limits.read_gbs.map(|gbs| format!("read {gbs:.0} GB/s"));
    let matmul = limits
        .matmul_tflops
        .map(|tflops| format!("bf16 matmul {tflops:.0} TFLOP/s"));
    match (read, matmul) {
        (Some(read), Some(matmul)) => format!("measured limits: {read}, {matmul}"),
        (Some(one), None) | (None, Some(one)) => format!("measured limit: {one}"),
        (None, None) => "no limit was measured".into(),
    }
}

/// Prints the rows of a run as they come.
#[derive(Default)]
pub struct Printer {
    begun: bool,
}

impl Printer {
    /// Prints a row, the first one below what all of them share.
    pub fn row(&mut self, of: &Row, by: &Limits) {
        if !self.begun {
            self.begun = true;
            println!("{}\n", limits(by));
            println!("{}", head(&ROW));
        }
        println!("{}", line(&ROW, &row(of, by)));
    }
}

/// Prints a recorded run.
pub fn print(record: &Record) {
    println!("{}", record.command);
    println!("{}, driver {}", record.gpu.name, record.gpu.driver);
    let mut printer = Printer::default();
    for row in &record.rows {
        printer.row(row, &record.limits);
    }
    print_comparison(record);
}

/// Prints the rows beside the peer's, where there is one.
pub fn print_comparison(record: &Record) {
    let Some(peer) = &record.peer else {
        return;
    };
    println!("\ncompared with {}:\n", peer.name);
    println!("{}", head(&COMPARISON));
    for cells in comparison(record) {
        println!("{}", line(&COMPARISON, &cells));
    }
}

/// The titles of the columns.
pub fn head(columns: &[Column]) -> String {
    let titles: Vec<String> = columns.iter().map(|c| c.title.to_owned()).collect();
    line(columns, &titles)
}

/// A row, each cell as wide as its column.
pub fn line(columns: &[Column], cells: &[String]) -> String {
    let padded: Vec<String> = columns
        .iter()
        .zip(cells)
        .map(|(column, cell)| match column.is_text {
            true => format!("{cell:<0$}", column.width),
            false => format!("{cell:>0$}", column.width),
        })
        .collect();
    padded.join("  ")
}
