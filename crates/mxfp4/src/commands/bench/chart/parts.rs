//! What a chart is made of.

use super::axis::Axis;

/// A chart.
pub struct Chart {
    /// The question that it answers.
    pub title: String,
    /// What holds for all panels, such as the limits of the machine.
    pub subtitle: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is compared; each has one color in all charts. The first is ours.
    pub names: Vec<String>,
    /// Whether each point has its number beside it.
    pub has_numbers: bool,
    /// Panels in a row.
    pub columns: usize,
    /// The panels, row by row.
    pub panels: Vec<Panel>,
}

/// A panel.
pub struct Panel {
    /// What tells it from the others.
    pub title: String,
    /// Its lines.
    pub lines: Vec<Line>,
    /// What the lines cannot pass, or are measured by.
    pub limits: Vec<Limit>,
}

/// The points of one name.
pub struct Line {
    /// Index into [`Chart::names`].
    pub name: usize,
    /// From left to right.
    pub points: Vec<Point>,
}

/// A measurement.
pub struct Point {
    /// Where it stands.
    pub at: (f64, f64),
    /// The lower and upper end of its spread.
    pub spread: Option<(f64, f64)>,
    /// What a pointer at it is told.
    pub says: String,
    /// The `id` of its row in the report.
    pub row: String,
}

/// A line that is no measurement, with its name beside it.
#[derive(Clone)]
pub struct Limit {
    /// Where it begins and where it ends.
    pub ends: [(f64, f64); 2],
    /// Its name.
    pub says: String,
    /// Whether the name stands below the line, because what is measured lies above.
    pub is_below: bool,
}

impl Line {
    /// The points in the order of the axis.
    pub fn new(name: usize, mut points: Vec<Point>) -> Self {
        points.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
        Self { name, points }
    }
}
