//! Text without markup, wrapped between words.

use anstyle::Style;

use super::layout::Layout;

/// Wraps text that comes in pieces.
pub struct Words {
    columns: usize,
    style: Style,
    layout: Layout,
    is_begun: bool,
    /// Ends of lines that nothing has followed yet.
    ends: usize,
}

impl Words {
    /// For so many columns, in this style.
    pub fn new(columns: usize, style: Style) -> Self {
        Self {
            columns,
            style,
            layout: Layout::new(columns),
            is_begun: false,
            ends: 0,
        }
    }

    /// What comes from now on is in this style.
    pub fn restyle(&mut self, style: Style) {
        self.style = style;
    }

    /// Takes more of the text; what can be shown now.
    pub fn push(&mut self, text: &str) -> String {
        for c in text.chars() {
            if c == '\n' {
                self.ends += usize::from(self.is_begun);
                continue;
            }
            let lines = std::mem::take(&mut self.ends) + usize::from(!self.is_begun);
            (0..lines).for_each(|_| self.layout.line(false, &[], Vec::new()));
            self.is_begun = true;
            self.layout.text(c, self.style);
        }
        self.layout.take()
    }

    /// The rest, with the end of the line where it `was_wrapped`. The next text is another one.
    pub fn finish(&mut self, was_wrapped: bool) -> String {
        self.layout.end();
        let rest = match was_wrapped {
            true => self.layout.take(),
            false => "\n".to_owned(),
        };
        *self = Self::new(self.columns, self.style);
        rest
    }
}
