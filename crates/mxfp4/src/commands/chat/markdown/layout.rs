//! Styled text put into lines of a terminal, one character after the other. Nothing that was written is written again.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthChar as _;

use mxfp4_toolchain::visible::picture;

/// A character and how it looks.
type Glyph = (char, Style);

/// What has been laid out and not been taken, and where the next character goes.
pub struct Layout {
    out: String,
    style: Style,
    columns: usize,
    /// How many columns of the line are taken.
    at: usize,
    /// What lines begin with that a line of the text goes on in.
    rest: Vec<Glyph>,
    /// Spaces, then a word whose end has not come.
    spaces: Vec<Glyph>,
    word: Vec<Glyph>,
    word_width: usize,
    has_line: bool,
}

impl Layout {
    /// For so many columns.
    pub fn new(columns: usize) -> Self {
        Self {
            out: String::new(),
            style: Style::new(),
            // The last one stays free: where terminals break a full line differs.
            columns: columns.saturating_sub(1).max(8),
            at: 0,
            rest: Vec::new(),
            spaces: Vec::new(),
            word: Vec::new(),
            word_width: 0,
            has_line: false,
        }
    }

    /// What was laid out since this was asked last.
    pub fn take(&mut self) -> String {
        self.set(Style::new());
        std::mem::take(&mut self.out)
    }

    /// Begins a line with `first`; lines that it goes on in begin with `rest`.
    pub fn line(&mut self, gap: bool, first: &[Glyph], rest: Vec<Glyph>) {
        if self.has_line {
            self.end();
            if gap {
                self.out.push('\n');
            }
        }
        self.has_line = true;
        self.rest = rest;
        first.iter().for_each(|glyph| self.put(*glyph));
    }

    /// Ends the line, if there is one.
    pub fn end(&mut self) {
        self.flush();
        self.spaces.clear();
        if self.has_line {
            self.set(Style::new());
            self.out.push('\n');
        }
        self.at = 0;
        self.has_line = false;
    }

    /// Adds a character of text that is wrapped between words.
    pub fn text(&mut self, c: char, style: Style) {
        if c == ' ' || c == '\t' {
            if !self.word.is_empty() {
                self.flush();
            }
            self.spaces.push((' ', style));
            return;
        }
        let c = shown(c);
        self.word_width += width(c);
        self.word.push((c, style));
        // Scripts without spaces are broken anywhere.
        if width(c) == 2 || self.word_width >= self.columns {
            self.flush();
        }
    }

    /// Adds a character of text that is shown as it is.
    pub fn verbatim(&mut self, c: char, style: Style) {
        self.flush();
        self.put((shown(c), style));
    }

    /// Writes the word that was held back.
    fn flush(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let begins = self.rest.iter().map(|(c, _)| width(*c)).sum::<usize>();
        let fits = self.at + self.spaces.len() + self.word_width <= self.columns;
        let spaces = std::mem::take(&mut self.spaces);
        if !fits && self.at > begins {
            self.wrap();
        } else {
            spaces.into_iter().for_each(|space| self.put(space));
        }
        self.word_width = 0;
        for glyph in word {
            if self.at + width(glyph.0) > self.columns && self.at > begins {
                self.wrap();
            }
            self.put(glyph);
        }
    }

    fn wrap(&mut self) {
        self.set(Style::new());
        self.out.push('\n');
        self.at = 0;
        for glyph in self.rest.clone() {
            self.put(glyph);
        }
    }

    fn put(&mut self, (c, style): Glyph) {
        self.set(style);
        self.out.push(c);
        self.at += width(c);
    }

    fn set(&mut self, style: Style) {
        if self.style != style {
            let _ = write!(self.out, "{:#}{style}", self.style);
            self.style = style;
        }
    }
}

/// The columns that a character takes.
pub fn width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// What `c` is shown as.
fn shown(c: char) -> char {
    picture(c).unwrap_or(c)
}
