//! The charts of a run.

use super::chart::{Axis, Chart, Limit, Line, Panel, Point};
use super::measurement::{Case, Row};
use super::record::Record;
use super::{file, table};

/// A chart's file and its content.
pub type Drawn = (&'static str, String);

/// How a row becomes a point: where it stands, and its spread.
type Place = fn(&Record, &Row) -> Option<((f64, f64), Option<(f64, f64)>)>;

/// All charts of a run, in the order in which a page shows them.
pub fn all(record: &Record) -> Vec<Drawn> {
    let mut all = Vec::new();
    if record.peer.is_some() {
        all.push(("speedup.svg", speedup(record).svg(file::INDEX)));
    }
    all.push(("latency.svg", latency(record).svg(file::INDEX)));
    all.push(("roofline.svg", roofline(record).svg(file::INDEX)));
    all
}

/// How many times as fast as the peer, over tokens.
fn speedup(record: &Record) -> Chart {
    let place: Place = |record, row| {
        let peer = record.peer_of(row)?;
        Some(((tokens(row), peer.median_us / row.median_us), None))
    };
    let mut chart = Chart {
        subtitle: "the peer's median time divided by ours; above 1 ours is faster".into(),
        y: Axis::from_zero("times as fast", ys(record, place).chain([1.0])),
        names: vec!["mxfp4".into()],
        ..chart(
            record,
            &format!("How many times as fast as {}?", peer_name(record)),
            place,
        )
    };
    let (low, high) = chart.x.ends();
    for panel in &mut chart.panels {
        panel.lines.retain(|line| line.name == 0);
        panel.limits.push(Limit {
            ends: [(low, 1.0), (high, 1.0)],
            says: format!("as fast as {}", peer_name(record)),
            is_below: true,
        });
    }
    chart
}

/// Microseconds over tokens.
fn latency(record: &Record) -> Chart {
    let place: Place = |_, row| {
        Some((
            (tokens(row), row.median_us),
            Some((row.low_us, row.high_us)),
        ))
    };
    let all = rows(record).flat_map(|row| [row.low_us, row.high_us]);
    Chart {
        subtitle: "the median of 20 calls, with the 10th and 90th percentile".into(),
        y: Axis::logarithmic("microseconds", 10.0, all),
        ..chart(record, "How long does a call take?", place)
    }
}

/// Operations a second over operations for each byte, under the limits of the GPU.
fn roofline(record: &Record) -> Chart {
    let place: Place = |_, row| Some(((row.intensity(), row.tflops()), None));
    let read = record.limits.read_gbs.map(|gbs| gbs / 1e3);
    let matmul = record.limits.matmul_tflops;
    // Where a kernel stops being bound by memory.
    let ridge = read.zip(matmul).map(|(read, matmul)| matmul / read);
    let x = Axis::logarithmic(
        "operations for each byte of packed weights",
        10.0,
        rows(record).map(Row::intensity).chain(ridge),
    );
    let (low, high) = x.ends();
    let mut limits = Vec::new();
    if let Some(read) = read {
        let end = ridge.unwrap_or(high);
        limits.push(Limit {
            ends: [(low, read * low), (end, read * end)],
            says: format!("read {:.0} GB/s", read * 1e3),
            is_below: false,
        });
    }
    if let Some(matmul) = matmul {
        limits.push(Limit {
            ends: [(ridge.unwrap_or(low), matmul), (high, matmul)],
            says: format!("{matmul:.0} TFLOP/s"),
            is_below: false,
        });
    }
    // With room for a limit's name above it.
    let ends = limits.iter().flat_map(|limit| limit.ends);
    let y = Axis::logarithmic(
        "TFLOP/s",
        10.0,
        ys(record, place).chain(ends.flat_map(|(_, y)| [y, y * 2.5])),
    );
    let mut chart = Chart {
        subtitle: table::limits(&record.limits),
        x,
        y,
        ..chart(record, "How near is it to what the GPU can do?", place)
    };
    for panel in &mut chart.panels {
        panel.limits = limits.clone();
    }
    chart
}

/// Panels for each case, with a line for each kernel. The axes are of tokens and of nothing yet.
fn chart(record: &Record, title: &str, place: Place) -> Chart {
    let mut cases = record.cases();
    cases.sort_by_key(|case| case.experts);
    let peer = record.peer.iter();
    let kernels: Vec<(&str, &[Row])> = [("mxfp4", record.rows.as_slice())]
        .into_iter()
        .chain(peer.map(|peer| (peer.name.as_str(), peer.rows.as_slice())))
        .collect();
    let panels = cases.iter().map(|case| Panel {
        title: label(case, &cases),
        lines: lines(record, case, &kernels, place),
        limits: Vec::new(),
    });
    // A row of panels for each number of experts and routing.
    let first = |case: &&Case| (case.experts, case.routing) == (cases[0].experts, cases[0].routing);
    let columns = cases.iter().filter(first).count();
    Chart {
        title: title.to_owned(),
        subtitle: String::new(),
        x: Axis::logarithmic("tokens", 2.0, rows(record).map(tokens)),
        y: Axis::from_zero("", std::iter::empty()),
        names: kernels.iter().map(|(name, _)| (*name).to_owned()).collect(),
        has_numbers: false,
        columns,
        panels: panels.collect(),
    }
}

fn lines(record: &Record, case: &Case, kernels: &[(&str, &[Row])], place: Place) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, (name, rows)) in kernels.iter().enumerate() {
        let of_case = rows.iter().filter(|row| row.case() == *case);
        let points: Vec<Point> = of_case
            .filter_map(|row| {
                let (at, spread) = place(record, row)?;
                Some(Point {
                    at,
                    spread,
                    says: says(name, row),
                    row: table::id(row, number > 0),
                })
            })
            .collect();
        if !points.is_empty() {
            lines.push(Line::new(number, points));
        }
    }
    lines
}

/// A row in one sentence.
fn says(name: &str, row: &Row) -> String {
    format!(
        "{name} {}, {} experts, {}, {} tokens: {:.1} us, {:.0} GB/s, {:.1} TFLOP/s",
        row.projection,
        row.experts,
        row.routing,
        row.tokens,
        row.median_us,
        row.gbs(),
        row.tflops()
    )
}

/// What tells `case` from the others.
fn label(case: &Case, cases: &[Case]) -> String {
    let mut label = case.projection.to_string();
    if cases.iter().any(|other| other.experts != case.experts) {
        label.push_str(&format!(", {} experts", case.experts));
    }
    if cases.iter().any(|other| other.routing != case.routing) {
        label.push_str(&format!(", {}", case.routing));
    }
    label
}

fn rows(record: &Record) -> impl Iterator<Item = &Row> {
    let peer = record.peer.iter().flat_map(|peer| &peer.rows);
    record.rows.iter().chain(peer)
}

fn ys(record: &Record, place: Place) -> impl Iterator<Item = f64> {
    rows(record)
        .filter_map(move |row| place(record, row))
        .map(|((_, y), _)| y)
}

fn peer_name(record: &Record) -> &str {
    record.peer.as_ref().map_or("the peer", |peer| &peer.name)
}

fn tokens(row: &Row) -> f64 {
    f64::from(row.tokens.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::bench::measurement::Projection;

    #[test]
    fn a_label_says_what_differs() {
        let case = |experts, routing| Case {
            experts,
            routing,
            projection: Projection::GateUp,
        };
        let (one, two, three) = (
            case(32, "balanced"),
            case(128, "balanced"),
            case(32, "skewed"),
        );
        assert_eq!(label(&one, &[one]), "gate_up");
        assert_eq!(label(&two, &[one, two]), "gate_up, 128 experts");
        assert_eq!(label(&three, &[one, three]), "gate_up, skewed");
        let all = [one, two, three];
        assert_eq!(label(&three, &all), "gate_up, 32 experts, skewed");
    }
}
