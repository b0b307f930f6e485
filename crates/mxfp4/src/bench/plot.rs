//! The plots of a run, as SVG.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::combinators::LogCoord;
use plotters::prelude::*;

use super::measurement::{Case, Row};
use super::record::Record;

const SIZE: (u32, u32) = (900, 560);
/// The font of every text.
pub const FONT: &str = "sans-serif";
/// Told apart by those who do not see all colours too.
pub const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// What is painted on.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart whose axes are logarithmic.
pub type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, LogCoord<f64>>>;

/// The rows of one kernel that make a line. The colour tells the case, the marker the kernel.
struct Series<'a> {
    label: String,
    color: RGBColor,
    is_peer: bool,
    rows: Vec<&'a Row>,
}

/// Operations a second over operations for each byte, under the limits of the GPU.
pub fn roofline(record: &Record) -> anyhow::Result<String> {
    draw(|area| {
        let series = series(record);
        let rows = || series.iter().flat_map(|series| &series.rows);
        let read = record.limits.read_gbs.map(|gbs| gbs / 1e3);
        let matmul = record.limits.matmul_tflops;
        // Where a kernel stops being bound by memory.
        let ridge = read.zip(matmul).map(|(read, matmul)| matmul / read);
        let x = around(rows().map(|row| row.intensity()).chain(ridge));
        let roof = |x: f64| {
            let bound = read.map_or(f64::INFINITY, |read| read * x);
            bound.min(matmul.unwrap_or(f64::INFINITY))
        };
        let y = around(
            rows()
                .map(|row| row.tflops())
                .chain([x.start, x.end].map(roof))
                .filter(|y| y.is_finite()),
        );
        let mut chart = ChartBuilder::on(area)
            .caption("Roofline", (FONT, 24))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x.clone().log_scale(), y.log_scale())?;
        chart
            .configure_mesh()
            .x_desc("operations for each byte of packed weights")
            .y_desc("TFLOP/s")
            .x_label_formatter(&short)
            .y_label_formatter(&short)
            .label_style((FONT, 16))
            .light_line_style(BLACK.mix(0.05))
            .draw()?;
        let corners = [Some(x.start), ridge, Some(x.end)];
        let points: Vec<(f64, f64)> = corners
            .into_iter()
            .flatten()
            .map(|x| (x, roof(x)))
            .filter(|(_, y)| y.is_finite())
            .collect();
        if !points.is_empty() {
            chart
                .draw_series(LineSeries::new(points, BLACK.stroke_width(2)))?
                .label(super::table::limits(&record.limits))
                .legend(|(x, y)| line_sample(x, y, BLACK));
        }
        for Series {
            label,
            color,
            is_peer,
            rows,
        } in series.iter()
        {
            let points = rows.iter().map(|row| (row.intensity(), row.tflops()));
            markers(&mut chart, points, label, *color, *is_peer)?;
        }
        legend(&mut chart, SeriesLabelPosition::LowerRight)
    })
}

/// Microseconds over tokens.
pub fn latency(record: &Record) -> anyhow::Result<String> {
    draw(|area| {
        let series = series(record);
        let rows = || series.iter().flat_map(|series| &series.rows);
        let x = around(rows().map(|row| tokens(row)));
        let y = around(rows().flat_map(|row| [row.low_us, row.median_us, row.high_us]));
        let mut chart = ChartBuilder::on(area)
            .caption("Latency", (FONT, 24))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x.log_scale().base(2.0), y.log_scale())?;
        chart
            .configure_mesh()
            .x_desc("tokens")
            .y_desc("us: the median, with the 10th and 90th percentile")
            .x_labels(16)
            .x_label_formatter(&short)
            .y_label_formatter(&short)
            .label_style((FONT, 16))
            .light_line_style(BLACK.mix(0.05))
            .draw()?;
        for Series {
            label,
            color,
            is_peer,
            rows,
        } in series.iter()
        {
            let points = rows.iter().map(|row| (tokens(row), row.median_us));
            let points = line(&mut chart, points, *color, *is_peer)?;
            chart.draw_series(rows.iter().map(|row| {
                let ends = [(tokens(row), row.low_us), (tokens(row), row.high_us)];
                PathElement::new(ends, color.mix(0.6).stroke_width(1))
            }))?;
            markers(&mut chart, points, label, *color, *is_peer)?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft)
    })
}

/// Paints an image.
pub fn draw(paint: impl FnOnce(&Area) -> anyhow::Result<()>) -> anyhow::Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    paint(&area)?;
    area.present()?;
    drop(area);
    Ok(svg)
}

fn series(record: &Record) -> Vec<Series<'_>> {
    let cases = record.cases();
    let peer = record
        .peer
        .iter()
        .map(|peer| (peer.name.as_str(), &peer.rows));
    let mut all = Vec::new();
    for (kernel, (name, rows)) in [("mxfp4", &record.rows)]
        .into_iter()
        .chain(peer)
        .enumerate()
    {
        for (number, case) in cases.iter().enumerate() {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.case() == *case).collect();
            if !rows.is_empty() {
                all.push(Series {
                    label: format!("{name} {}", label(case, &cases)),
                    color: COLORS[number % COLORS.len()],
                    is_peer: kernel > 0,
                    rows,
                });
            }
        }
    }
    all
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

fn tokens(row: &Row) -> f64 {
    f64::from(row.tokens.get())
}

/// A range that holds all of `numbers`, which are positive, with some room on a logarithmic scale.
pub fn around(numbers: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = numbers.fold((f64::INFINITY, 0.0_f64), |(low, high), number| {
        (low.min(number), high.max(number))
    });
    low / 1.6..high * 1.6
}

/// A number of an axis without needless digits.
pub fn short(number: &f64) -> String {
    if *number >= 1.0 {
        format!("{number:.0}")
    } else {
        format!("{number:.3}").trim_end_matches('0').to_owned()
    }
}

/// Draws a line through the points from left to right, and gives them in that order: ours is solid, a peer's dashed.
pub fn line<'a, 'b: 'a>(
    chart: &mut Chart<'a, 'b>,
    points: impl Iterator<Item = (f64, f64)>,
    color: RGBColor,
    is_peer: bool,
) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut points: Vec<(f64, f64)> = points.collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let style = color.stroke_width(2);
    if is_peer {
        let dashes = DashedLineSeries::new(points.iter().copied(), 6, 4, style);
        chart.draw_series(dashes)?;
    } else {
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
    }
    Ok(points)
}

/// Draws the markers of one series, which the legend calls `label`.
pub fn markers<'a, 'b: 'a>(
    chart: &mut Chart<'a, 'b>,
    points: impl IntoIterator<Item = (f64, f64)>,
    label: &str,
    color: RGBColor,
    is_peer: bool,
) -> anyhow::Result<()> {
    let points = points.into_iter();
    chart
        .draw_series(points.map(|point| marker(point, color, is_peer)))?
        .label(label)
        .legend(move |(x, y)| marker((x + 10, y), color, is_peer));
    Ok(())
}

/// Draws the legend.
pub fn legend<'a, 'b: 'a>(
    chart: &mut Chart<'a, 'b>,
    position: SeriesLabelPosition,
) -> anyhow::Result<()> {
    chart
        .configure_series_labels()
        .position(position)
        .label_font((FONT, 16))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

/// Ours is a disc, a peer's a ring.
fn marker<C>(at: C, color: RGBColor, is_peer: bool) -> Circle<C, i32> {
    let style = ShapeStyle {
        color: color.to_rgba(),
        filled: !is_peer,
        stroke_width: 2,
    };
    Circle::new(at, 4, style)
}

/// A line in a legend.
pub fn line_sample(x: i32, y: i32, color: RGBColor) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measurement::Projection;

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

    #[test]
    fn the_numbers_of_an_axis() {
        for (number, text) in [(1000.0, "1000"), (1.0, "1"), (0.5, "0.5"), (0.01, "0.01")] {
            assert_eq!(short(&number), text);
        }
    }
}
