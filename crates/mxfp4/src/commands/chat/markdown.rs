//! Markdown, shown on a terminal while it is written: what was shown is never shown again in another way, so a screen may
//! scroll, change its size or be recorded.

mod document;
mod layout;
mod line;
mod stable;
mod table;
mod words;

use self::document::read;
use self::layout::Layout;
use self::line::{Line, Span};
pub use self::words::Words;

/// The least share of a block that must be new for it to be read again: a block of any length costs little.
const SHARE: usize = 128;

/// Turns Markdown that comes in pieces into what a terminal shows.
pub struct Markdown {
    columns: usize,
    layout: Layout,
    /// What came since the last block began, and whether a blank line is before it.
    source: String,
    gap: bool,
    /// How much of it was read, and how much was shown.
    read: usize,
    shown: usize,
    /// The line that was begun last.
    line: Option<(usize, usize)>,
}

impl Markdown {
    /// For a terminal of so many columns.
    pub fn new(columns: usize) -> Self {
        Self {
            columns,
            layout: Layout::new(columns),
            source: String::new(),
            gap: false,
            read: 0,
            shown: 0,
            line: None,
        }
    }

    /// Takes more of the text; what can be shown now.
    pub fn push(&mut self, text: &str) -> String {
        self.source.push_str(text);
        let new = self.source.len() - self.read;
        if new == 0 || new < self.source.len() / SHARE {
            return String::new();
        }
        self.show(false);
        self.layout.take()
    }

    /// The rest, with the end of the line. The next text is another one.
    pub fn finish(&mut self) -> String {
        self.show(true);
        self.layout.end();
        let rest = self.layout.take();
        *self = Self::new(self.columns);
        rest
    }

    fn show(&mut self, is_over: bool) {
        self.read = self.source.len();
        let document = read(&self.source, self.gap, self.columns);
        let until = match is_over {
            true => self.source.len() + 1,
            false => stable::until(&self.source, &document),
        };
        for line in &document.lines {
            if line.id.0 >= until || !self.show_line(line, until) {
                break;
            }
        }
        let cut = document.last_block;
        if cut > 0 && cut <= until.min(self.source.len()) {
            self.source.drain(..cut);
            self.gap = document.last_gap;
            self.read -= cut;
            self.shown = self.shown.saturating_sub(cut);
            let line = self.line.filter(|(at, _)| *at >= cut);
            self.line = line.map(|(at, number)| (at - cut, number));
        }
    }

    /// Shows what is new of a line; whether that is all of it.
    fn show_line(&mut self, line: &Line, until: usize) -> bool {
        let is_new = self.line.is_none_or(|begun| line.id > begun);
        if is_new {
            self.layout.line(line.gap, &line.first, line.rest.clone());
            self.line = Some(line.id);
        } else if self.line != Some(line.id) || line.is_whole {
            return true;
        }
        line.spans
            .iter()
            .all(|span| self.show_span(span, line, until))
    }

    fn show_span(&mut self, span: &Span, line: &Line, until: usize) -> bool {
        if line.is_whole {
            self.write(&span.text, span, line);
            return true;
        }
        if span.source.end <= self.shown {
            return true;
        }
        if span.is_exact() {
            for (at, c) in span.text.char_indices() {
                let at = span.source.start + at;
                if at >= until {
                    return false;
                }
                if at >= self.shown {
                    self.write(c.encode_utf8(&mut [0; 4]), span, line);
                    self.shown = at + c.len_utf8();
                }
            }
            return true;
        }
        if span.source.end > until {
            return false;
        }
        if span.source.start >= self.shown {
            self.write(&span.text, span, line);
        } else {
            // It was begun as plain text before its end came.
            let rest =
                self.source[self.source.ceil_char_boundary(self.shown)..span.source.end].to_owned();
            self.write(&rest, span, line);
        }
        self.shown = self.shown.max(span.source.end);
        true
    }

    fn write(&mut self, text: &str, span: &Span, line: &Line) {
        for c in text.chars() {
            match line.verbatim {
                true => self.layout.verbatim(c, span.style),
                false => self.layout.text(c, span.style),
            }
        }
    }
}

#[cfg(test)]
mod tests;
