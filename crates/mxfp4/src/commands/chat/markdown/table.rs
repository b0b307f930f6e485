//! Tables in columns.

use anstyle::Style;
use pulldown_cmark::Alignment;

use super::layout::width;
use super::line::{MARK, Span};
use mxfp4_toolchain::visible::visible;

/// What is between two columns.
const BETWEEN: &str = " │ ";

/// The narrowest that a column is made for another's sake.
const NARROWEST: usize = 6;

type Glyph = (char, Style);

/// A table while it is read.
pub struct Table {
    columns: usize,
    alignments: Vec<Alignment>,
    rows: Vec<Row>,
}

struct Row {
    at: usize,
    is_head: bool,
    cells: Vec<Vec<Span>>,
}

impl Table {
    /// An empty one, for a terminal of so many columns.
    pub fn new(columns: usize, alignments: Vec<Alignment>) -> Self {
        Self {
            columns,
            alignments,
            rows: Vec::new(),
        }
    }

    /// A row begins.
    pub fn row(&mut self, at: usize, is_head: bool) {
        self.rows.push(Row {
            at,
            is_head,
            cells: Vec::new(),
        });
    }

    /// A cell begins.
    pub fn cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.cells.push(Vec::new());
        }
    }

    /// Text of the cell.
    pub fn push(&mut self, span: Span) {
        let cell = self.rows.last_mut().and_then(|row| row.cells.last_mut());
        if let Some(cell) = cell {
            cell.push(span);
        }
    }

    /// Its lines, with where each comes from, where `indent` columns are taken.
    pub fn lines(self, indent: usize) -> Vec<(usize, Vec<Span>)> {
        let rows: Vec<Vec<Vec<Glyph>>> = self
            .rows
            .iter()
            .map(|row| {
                row.cells
                    .iter()
                    .map(|cell| glyphs(cell, row.is_head))
                    .collect()
            })
            .collect();
        let room = self.columns.saturating_sub(indent + 1);
        let widths = widths(&rows, self.alignments.len(), room);
        let mut lines = Vec::new();
        for (row, cells) in self.rows.iter().zip(rows) {
            let cells: Vec<Vec<Vec<Glyph>>> = cells
                .into_iter()
                .zip(&widths)
                .map(|(cell, width)| wrapped(cell, *width))
                .collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
            for number in 0..height {
                let line = self.line(&cells, number, &widths);
                lines.push((row.at, spans(line, row.at)));
            }
            if row.is_head {
                let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
                let rule = rule.join("─┼─").chars().map(|c| (c, MARK)).collect();
                lines.push((row.at, spans(rule, row.at)));
            }
        }
        lines
    }

    fn line(&self, cells: &[Vec<Vec<Glyph>>], number: usize, widths: &[usize]) -> Vec<Glyph> {
        let mut line = Vec::new();
        for (column, room) in widths.iter().enumerate() {
            if column > 0 {
                line.extend(BETWEEN.chars().map(|c| (c, MARK)));
            }
            let text = cells.get(column).and_then(|cell| cell.get(number));
            let text = text.map(Vec::as_slice).unwrap_or_default();
            let free = room.saturating_sub(across(text));
            let before = match self.alignments.get(column) {
                Some(Alignment::Right) => free,
                Some(Alignment::Center) => free / 2,
                _ => 0,
            };
            let space = |count| std::iter::repeat_n((' ', Style::new()), count);
            line.extend(space(before));
            line.extend_from_slice(text);
            if column + 1 < widths.len() {
                line.extend(space(free - before));
            }
        }
        line
    }
}

/// The text of a cell, with what would act on a terminal made visible.
fn glyphs(cell: &[Span], is_head: bool) -> Vec<Glyph> {
    let mut glyphs = Vec::new();
    for span in cell {
        let style = if is_head {
            span.style.bold()
        } else {
            span.style
        };
        let text = visible(&span.text).replace('\t', " ");
        glyphs.extend(text.chars().map(|c| (c, style)));
    }
    glyphs
}

fn across(glyphs: &[Glyph]) -> usize {
    glyphs.iter().map(|(c, _)| width(*c)).sum()
}

/// The widths of the columns: what they need, and where there is too little room, less for the widest.
fn widths(rows: &[Vec<Vec<Glyph>>], columns: usize, room: usize) -> Vec<usize> {
    let mut widths = vec![1; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = across(cell).max(*width);
        }
    }
    let between = BETWEEN.chars().count() * columns.saturating_sub(1);
    let room = room.saturating_sub(between);
    let mut over = widths.iter().sum::<usize>().saturating_sub(room);
    while over > 0 {
        let mut sorted = widths.clone();
        sorted.sort_unstable();
        let Some(widest) = sorted.last().copied().filter(|widest| *widest > NARROWEST) else {
            break;
        };
        let next = sorted.iter().rev().find(|width| **width < widest);
        let next = next.copied().unwrap_or(0).max(NARROWEST);
        let those = sorted.iter().filter(|width| **width == widest).count();
        let step = (widest - next).min(over.div_ceil(those));
        for width in widths.iter_mut().filter(|width| **width == widest) {
            *width -= step;
        }
        over = widths.iter().sum::<usize>().saturating_sub(room);
    }
    widths
}

/// A cell in lines of `room` columns, broken between words where that can be.
fn wrapped(cell: Vec<Glyph>, room: usize) -> Vec<Vec<Glyph>> {
    let mut lines = Vec::new();
    let mut line: Vec<Glyph> = Vec::new();
    for glyph in cell {
        if glyph.0 == ' ' && line.is_empty() && !lines.is_empty() {
            continue;
        }
        line.push(glyph);
        if across(&line) <= room {
            continue;
        }
        let space = line.iter().rposition(|(c, _)| *c == ' ');
        let rest = match space.filter(|at| *at > 0) {
            Some(at) => {
                let rest = line.split_off(at + 1);
                line.pop();
                rest
            }
            None if line.len() > 1 => line.split_off(line.len() - 1),
            None => Vec::new(),
        };
        lines.push(std::mem::replace(&mut line, rest));
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Glyphs as spans that come from `at`.
fn spans(line: Vec<Glyph>, at: usize) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (c, style) in line {
        match spans.last_mut().filter(|span| span.style == style) {
            Some(span) => span.text.push(c),
            None => spans.push(Span {
                source: at..at,
                text: c.to_string(),
                style,
                is_plain: false,
            }),
        }
    }
    spans
}
