//! The plots of a serving run, as SVG.

use plotters::prelude::*;

use super::level::Level;
use super::record::Record;
use crate::bench::plot::{COLORS, FONT, around, draw, legend, line, markers, short};

/// The levels of one server with one shape, which make a line.
struct Series<'a> {
    label: String,
    color: RGBColor,
    is_peer: bool,
    levels: Vec<&'a Level>,
}

/// Tokens a second over requests at once.
pub fn throughput(record: &Record) -> anyhow::Result<String> {
    chart(
        record,
        "Throughput",
        "tokens of answers a second",
        |level| Some(level.tokens_per_second()),
    )
}

/// Milliseconds a token over requests at once.
pub fn tpot(record: &Record) -> anyhow::Result<String> {
    let what = "ms for each token after the first, the median request";
    chart(record, "Time for each token", what, |level| {
        level.tpot_ms.p50
    })
}

fn chart(
    record: &Record,
    caption: &str,
    what: &str,
    read: fn(&Level) -> Option<f64>,
) -> anyhow::Result<String> {
    draw(|area| {
        let series = series(record);
        // The axes are logarithmic.
        let point = |level: &Level| {
            let y = read(level).filter(|y| *y > 0.0)?;
            Some((f64::from(level.concurrency.get()), y))
        };
        let points = || {
            series
                .iter()
                .flat_map(|s| &s.levels)
                .filter_map(|l| point(l))
        };
        let (mut x, mut y) = (around(points().map(|p| p.0)), around(points().map(|p| p.1)));
        if points().next().is_none() {
            (x, y) = (1.0..10.0, 1.0..10.0);
        }
        let mut chart = ChartBuilder::on(area)
            .caption(caption, (FONT, 24))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(x.log_scale().base(2.0), y.log_scale())?;
        chart
            .configure_mesh()
            .x_desc("requests at once")
            .y_desc(what)
            .x_label_formatter(&short)
            .y_label_formatter(&short)
            .label_style((FONT, 16))
            .light_line_style(BLACK.mix(0.05))
            .draw()?;
        for Series {
            label,
            color,
            is_peer,
            levels,
        } in &series
        {
            let points = levels.iter().filter_map(|l| point(l));
            let points = line(&mut chart, points, *color, *is_peer)?;
            markers(&mut chart, points, label, *color, *is_peer)?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft)
    })
}

fn series(record: &Record) -> Vec<Series<'_>> {
    let mut shapes: Vec<(u32, u32)> = Vec::new();
    for level in record.levels.iter().chain(&record.peer) {
        let shape = (level.input.get(), level.output.get());
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    let servers = [
        (false, "mxfp4", &record.levels),
        (true, "peer", &record.peer),
    ];
    let mut all = Vec::new();
    for (is_peer, name, levels) in servers {
        for (number, shape) in shapes.iter().enumerate() {
            let levels: Vec<&Level> = levels
                .iter()
                .filter(|level| (level.input.get(), level.output.get()) == *shape)
                .collect();
            if !levels.is_empty() {
                all.push(Series {
                    label: format!("{name}, {} tokens in, {} out", shape.0, shape.1),
                    color: COLORS[number % COLORS.len()],
                    is_peer,
                    levels,
                });
            }
        }
    }
    all
}
