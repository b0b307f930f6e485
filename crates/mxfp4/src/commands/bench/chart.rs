//! Charts as SVG: panels side by side that share their axes, with one color for each name in all of them.
//!
//! A chart answers one question, which is its title. It is readable at 900 pixels, on light and on dark pages, and every
//! point links to the row of the report that holds its figures.

mod axis;
mod paint;
mod parts;

pub use self::axis::Axis;
pub use self::parts::{Chart, Limit, Line, Panel, Point};

impl Chart {
    /// The chart as SVG. Points link into `page`.
    pub fn svg(&self, page: &str) -> String {
        paint::chart(self, page).to_string()
    }
}
