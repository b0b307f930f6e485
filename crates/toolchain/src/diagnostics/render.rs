use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Shown, Patch, Renderer, Snippet};

use super::message::{Diagnostic, Fix, Level, Message, Place, boundary};
use crate::visible::visible;

/// A line is cut to this much around what is wrong: whoever writes longer ones reads them elsewhere.
const LONGEST_LINE: usize = 2000;

/// How a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// With colors.
    pub color: bool,
    /// For a terminal of so many columns.
    pub width: usize,
}

impl Message {
    /// The message as a person reads it, without a line break at its end.
    pub fn render(&self, style: Style) -> String {
        match self {
            Self::Text(text) => visible(text).into_owned(),
            Self::Diagnostic(diagnostic) => diagnostic.render(style),
        }
    }
}

impl Diagnostic {
    /// The diagnostic as a person reads it: `level: message`, the file with line and column, the source with what is
    /// wrong underlined, and what the compiler would write instead. No line break at its end.
    pub fn render(&self, style: Style) -> String {
        let renderer = match style.color {
            true => Renderer::styled(),
            false => Renderer::plain(),
        };
        let renderer = renderer
            .decor_style(DecorStyle::Ascii)
            .term_width(style.width.max(20));
        let mut groups = Vec::new();
        for part in std::iter::once(self).chain(&self.notes) {
            part.add_to(&mut groups);
        }
        renderer.render(&groups)
    }

    fn add_to<'a>(&self, groups: &mut Vec<Group<'a>>) {
        let level = match self.level {
            Level::Error => Shown::ERROR,
            Level::Warning => Shown::WARNING,
            Level::Note => Shown::NOTE,
        };
        let mut lines = self.message.lines();
        let first = plain(lines.next().unwrap_or_default());
        let mut group = Group::with_title(level.primary_title(first));
        if let Some(place) = &self.place {
            group = group.element(snippet(place));
        }
        for line in lines.filter(|line| !line.trim().is_empty()) {
            group = group.element(Shown::NOTE.message(plain(line)));
        }
        groups.push(group);
        if let Some(place) = &self.place {
            groups.extend(suggestion(place));
        }
    }
}

fn snippet<'a>(place: &Place) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let source = Source::of(place);
    let at = source.offset(place.offset);
    let ranges: Vec<_> = place
        .ranges
        .iter()
        .map(|range| source.offset(range.start)..source.offset(range.end))
        .filter(|range| range.start < range.end)
        .collect();
    // The range that begins there is what is wrong; where none does, it is that one place.
    let main = ranges.iter().find(|range| range.start == at).cloned();
    let primary = main.clone().unwrap_or(at..at);
    let context = ranges
        .into_iter()
        .filter(|range| Some(range) != main.as_ref())
        .map(|range| AnnotationKind::Context.span(range));
    Snippet::source(source.text.clone())
        .line_start(place.line)
        .path(plain(&place.file))
        .annotation(AnnotationKind::Primary.span(primary))
        .annotations(context)
}

/// What the compiler would write instead, as a difference where it is about this line alone.
fn suggestion<'a>(place: &Place) -> Option<Group<'a>> {
    if place.fixes.is_empty() {
        return None;
    }
    let source = Source::of(place);
    let mut spans: Vec<(Range<usize>, &Fix)> = Vec::new();
    for fix in &place.fixes {
        let inside = fix.start.0 == place.line && fix.end.0 == place.line;
        let at = |column: usize| {
            let offset = column.checked_sub(1)?;
            let whole = offset <= place.text.len() && place.text.is_char_boundary(offset);
            whole.then(|| source.offset(offset))
        };
        match (inside, at(fix.start.1), at(fix.end.1)) {
            (true, Some(start), Some(end)) if start <= end => spans.push((start..end, fix)),
            _ => return Some(in_words(place)),
        }
    }
    spans.sort_by_key(|(span, _)| (span.start, span.end));
    let apart = spans
        .windows(2)
        .all(|pair| pair[0].0.end <= pair[1].0.start && pair[0].0 != pair[1].0);
    if !apart || source.is_cut {
        return Some(in_words(place));
    }
    let patches = spans
        .into_iter()
        .map(|(span, fix)| Patch::new(span, plain(&fix.replacement)));
    let snippet = Snippet::source(source.text.clone())
        .line_start(place.line)
        .path(plain(&place.file))
        .patches(patches);
    Some(
        Shown::HELP
            .secondary_title("the compiler suggests")
            .element(snippet),
    )
}

fn in_words<'a>(place: &Place) -> Group<'a> {
    let mut group = Group::with_title(Shown::HELP.secondary_title("the compiler suggests"));
    for fix in &place.fixes {
        let ((line, column), (last_line, last_column)) = (fix.start, fix.end);
        let what = format!(
            "from {line}:{column} to {last_line}:{last_column}, write `{}`",
            plain(&fix.replacement)
        );
        group = group.element(Shown::NOTE.message(what));
    }
    group
}

/// Text that is no source: visible, and without tabs.
fn plain(text: &str) -> String {
    visible(text).replace('\t', " ")
}

/// The line of a place as it is shown, with the offsets that belong to it.
struct Source {
    text: String,
    /// Where in the place's own text this begins.
    start: usize,
    /// Of each character: its offset in the place's own text, and in this.
    offsets: Vec<(usize, usize)>,
    is_cut: bool,
}

impl Source {
    fn of(place: &Place) -> Self {
        let whole = place.text.len() <= LONGEST_LINE;
        let start = match whole {
            true => 0,
            false => boundary(&place.text, place.offset.saturating_sub(LONGEST_LINE / 2)),
        };
        let end = boundary(&place.text, start + LONGEST_LINE);
        let mut text = String::new();
        let mut offsets = Vec::new();
        for (offset, char) in place.text[start..end].char_indices() {
            offsets.push((start + offset, text.len()));
            text.push_str(&visible(char.encode_utf8(&mut [0; 4])));
        }
        Self {
            text,
            start,
            offsets,
            is_cut: !whole,
        }
    }

    /// Where in this the offset of the place's own text is; the nearest that is shown.
    fn offset(&self, offset: usize) -> usize {
        if offset <= self.start {
            return 0;
        }
        let after = self.offsets.partition_point(|(own, _)| *own < offset);
        self.offsets
            .get(after)
            .map_or(self.text.len(), |(_, shown)| *shown)
    }
}
