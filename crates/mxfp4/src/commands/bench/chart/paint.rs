//! A chart's shapes.

use svg::node::element::{Anchor, Circle, Group, Path, Rectangle, Style, Text, Title, path::Data};
use svg::{Document, Node as _};

use super::axis::{rounded, written};
use super::parts::{Chart, Limit, Line, Panel, Point};

const WIDTH: f64 = 900.0;
/// Of the chart, above the panels: title, subtitle, legend.
const HEAD: f64 = 92.0;
/// Of the chart, below the panels: the horizontal axis' title.
const FOOT: f64 = 30.0;
/// Of a panel, where there is one row of them and where there are more.
const HEIGHT: [f64; 2] = [280.0, 200.0];
/// What lies around a panel's plot: left, above, right, below.
const AROUND: [f64; 4] = [46.0, 24.0, 12.0, 30.0];
/// The width of a letter of the smaller text, roughly.
const LETTER: f64 = 6.6;

/// Colors are told apart by those who do not see all of them too, and have as much contrast on white as on black pages.
/// Attributes are not used for colors, so that a page that is dark can set others.
const STYLE: &str = "
.chart { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 12px; fill: #1f2328 }
.chart .paper { fill: #ffffff }
.chart .title { font-size: 17px; font-weight: 600 }
.chart .panel { font-size: 13px; font-weight: 600 }
.chart .quiet { fill: #59636e }
.chart .grid { stroke: #d1d9e0; stroke-width: 1; fill: none }
.chart .limit { stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 5 3; fill: none }
.chart .line { stroke-width: 2; fill: none }
.chart .spread { stroke-width: 1.5; fill: none }
.chart .name-0 { stroke: #0969da; fill: #0969da }
.chart .name-1 { stroke: #bc4c00; fill: #ffffff }
.chart .name-2 { stroke: #1a7f37; fill: #ffffff }
.chart .name-3 { stroke: #8250df; fill: #ffffff }
.chart path[class*=name-] { fill: none }
.chart circle { stroke-width: 2 }
.chart a:hover circle, .chart a:focus circle { stroke-width: 5 }
@media (prefers-color-scheme: dark) {
.chart { fill: #f0f6fc }
.chart .paper { fill: #0d1117 }
.chart .quiet { fill: #9198a1 }
.chart .grid { stroke: #3d444d }
.chart .limit { stroke: #9198a1 }
.chart .name-0 { stroke: #58a6ff; fill: #58a6ff }
.chart .name-1 { stroke: #f0883e; fill: #0d1117 }
.chart .name-2 { stroke: #3fb950; fill: #0d1117 }
.chart .name-3 { stroke: #bc8cff; fill: #0d1117 }
}
";

/// Where a panel's plot lies.
struct Plot<'a> {
    chart: &'a Chart,
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// The chart, whose points link into `page`.
pub fn chart(chart: &Chart, page: &str) -> Document {
    let columns = chart.columns.clamp(1, chart.panels.len().max(1));
    let rows = chart.panels.len().div_ceil(columns);
    let panel_height = if rows > 1 { HEIGHT[1] } else { HEIGHT[0] };
    let height = HEAD + panel_height * rows as f64 + FOOT;
    let mut drawn = Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("class", "chart")
        .set("role", "img")
        .add(Title::new(chart.title.as_str()))
        .add(Style::new(STYLE))
        .add(rectangle((0.0, 0.0), (WIDTH, height), "paper"))
        .add(text((16.0, 28.0), "title", &chart.title))
        .add(text((16.0, 48.0), "quiet", &chart.subtitle))
        .add(text((16.0, HEAD - 8.0), "quiet", &chart.y.title))
        .add(
            text((WIDTH / 2.0, height - 10.0), "quiet", &chart.x.title)
                .set("text-anchor", "middle"),
        );
    let width = WIDTH / columns as f64;
    for (number, panel) in chart.panels.iter().enumerate() {
        let (row, column) = (number / columns, number % columns);
        let [left, above, right, below] = AROUND;
        let plot = Plot {
            chart,
            left: width * column as f64 + left,
            top: HEAD + panel_height * row as f64 + above,
            width: width - left - right,
            height: panel_height - above - below,
        };
        drawn.append(plot.panel(panel, page));
    }
    // Last, so that the first point of a chart is a measurement.
    drawn.add(legend(&chart.names))
}

/// The names with their colors, at the right above the panels.
fn legend(names: &[String]) -> Group {
    let mut legend = Group::new();
    let mut right = WIDTH - 16.0;
    for (number, name) in names.iter().enumerate().rev() {
        let left = right - name.chars().count() as f64 * LETTER - 22.0;
        let y = HEAD - 12.0;
        legend.append(
            Circle::new()
                .set("cx", round(left))
                .set("cy", y)
                .set("r", 4)
                .set("class", format!("name-{number}")),
        );
        legend.append(text((left + 10.0, y + 4.0), "legend", name));
        right = left - 14.0;
    }
    legend
}

impl Plot<'_> {
    fn panel(&self, panel: &Panel, page: &str) -> Group {
        let title = text((self.left, self.top - 8.0), "panel", &panel.title);
        let mut group = Group::new().add(title).add(self.grid());
        for limit in &panel.limits {
            group.append(self.limit(limit));
        }
        for line in &panel.lines {
            group.append(self.path(line));
        }
        for line in &panel.lines {
            for point in &line.points {
                group.append(self.point(line.name, point, page));
            }
        }
        group
    }

    /// The marks of both axes.
    fn grid(&self) -> Group {
        let mut group = Group::new();
        let bottom = self.top + self.height;
        for mark in self.chart.x.marks() {
            let x = self.x(mark);
            group.append(segment([(x, self.top), (x, bottom)], "grid"));
            let label = text((x, bottom + 16.0), "quiet", &written(mark));
            group.append(label.set("text-anchor", "middle"));
        }
        for mark in self.chart.y.marks() {
            let y = self.y(mark);
            group.append(segment(
                [(self.left, y), (self.left + self.width, y)],
                "grid",
            ));
            let label = text((self.left - 6.0, y + 4.0), "quiet", &written(mark));
            group.append(label.set("text-anchor", "end"));
        }
        group
    }

    /// A limit, with its name along it where there is room.
    fn limit(&self, limit: &Limit) -> Group {
        let [from, to] = limit.ends.map(|(x, y)| (self.x(x), self.y(y)));
        let (across, down) = (to.0 - from.0, to.1 - from.1);
        let middle = ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0);
        let angle = down.atan2(across).to_degrees();
        let aside = if limit.is_below { 16.0 } else { -6.0 };
        let name = text((middle.0, middle.1 + aside), "quiet", &limit.says)
            .set("text-anchor", "middle")
            .set(
                "transform",
                format!("rotate({:.1} {:.1} {:.1})", angle, middle.0, middle.1),
            );
        Group::new().add(segment([from, to], "limit")).add(name)
    }

    fn path(&self, line: &Line) -> Path {
        let mut data = Data::new();
        for (number, point) in line.points.iter().enumerate() {
            let at = self.at(point.at);
            data = match number {
                0 => data.move_to(at),
                _ => data.line_to(at),
            };
        }
        Path::new()
            .set("d", data)
            .set("class", format!("line name-{}", line.name))
    }

    /// A disc for ours, a ring for another's, with its spread.
    fn point(&self, name: usize, point: &Point, page: &str) -> Anchor {
        let (x, y) = self.at(point.at);
        let mut anchor = Anchor::new()
            .set("href", format!("{page}#{}", point.row))
            .add(Title::new(point.says.as_str()));
        if let Some((low, high)) = point.spread {
            let ends = [(x, self.y(low)), (x, self.y(high))];
            anchor.append(segment(ends, &format!("spread name-{name}")));
        }
        if self.chart.has_numbers {
            let number = text((x - 6.0, y - 8.0), "quiet", &rounded(point.at.1));
            anchor.append(number.set("text-anchor", "middle"));
        }
        let circle = Circle::new().set("cx", x).set("cy", y).set("r", 3);
        anchor.add(circle.set("class", format!("name-{name}")))
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x(x), self.y(y))
    }

    fn x(&self, number: f64) -> f64 {
        round(self.left + self.width * self.chart.x.share(number))
    }

    fn y(&self, number: f64) -> f64 {
        round(self.top + self.height * (1.0 - self.chart.y.share(number)))
    }
}

fn text((x, y): (f64, f64), class: &str, content: &str) -> Text {
    Text::new(content)
        .set("x", round(x))
        .set("y", round(y))
        .set("class", class)
}

fn rectangle((x, y): (f64, f64), (width, height): (f64, f64), class: &str) -> Rectangle {
    let rectangle = Rectangle::new().set("x", x).set("y", y).set("class", class);
    rectangle.set("width", width).set("height", height)
}

fn segment([from, to]: [(f64, f64); 2], class: &str) -> Path {
    let data = Data::new().move_to(from).line_to(to);
    Path::new().set("d", data).set("class", class)
}

/// To a tenth of a pixel.
fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
