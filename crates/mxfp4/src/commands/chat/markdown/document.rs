//! Markdown to lines: each knows where in the source it comes from.

use std::ops::Range;

use anstyle::Style;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::line::{CODE, Line, MARK, Span, is_mark};
use super::table::Table;

/// A source that was read.
#[derive(Debug, Default)]
pub struct Document {
    /// Its lines.
    pub lines: Vec<Line>,
    /// Where its last block begins, and whether a blank line is before it.
    pub last_block: usize,
    /// See there.
    pub last_gap: bool,
    /// Where a table begins that may go on after the end.
    pub open_table: Option<usize>,
}

/// Reads a source. `gap` says whether a blank line is before it.
pub fn read(source: &str, gap: bool, columns: usize) -> Document {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader {
        source,
        columns,
        block: 0,
        gap_before: gap,
        gap: false,
        begin_of_line: (0, 0),
        containers: Vec::new(),
        styles: vec![Style::new()],
        line: None,
        code: false,
        table: None,
        links: Vec::new(),
        depth: 0,
        document: Document::default(),
    };
    let mut parser = Parser::new_ext(source, options).into_offset_iter();
    for (event, range) in &mut parser {
        reader.event(event, range);
    }
    reader.close();
    // What defines where links lead is no part of a page; here it would be lost.
    for (_, definition) in parser.reference_definitions().iter() {
        reader.definition(definition.span.clone());
    }
    let mut document = reader.document;
    document.lines.sort_by_key(|line| line.id);
    document
}

/// What lines are in.
enum Container {
    Quote,
    List(Option<u64>),
    /// The marker, until a line has it.
    Item {
        marker: String,
        is_fresh: bool,
    },
}

struct Reader<'s> {
    source: &'s str,
    columns: usize,
    block: usize,
    gap_before: bool,
    gap: bool,
    /// A place in the source, and where its line begins.
    begin_of_line: (usize, usize),
    containers: Vec<Container>,
    styles: Vec<Style>,
    line: Option<Line>,
    code: bool,
    table: Option<Table>,
    /// Where each open link leads, and where its text begins.
    links: Vec<(String, usize)>,
    depth: usize,
    document: Document,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::End(tag) => self.end(tag, range),
            Event::Text(text) if self.code => self.code(&text, range),
            Event::Text(text) => self.text(&text, range, self.style(), true),
            Event::Code(text) => {
                let style = self.style() | CODE.get_effects();
                self.text(&text, range, style.fg_color(CODE.get_fg_color()), false);
            }
            Event::Html(text) => self.code(&text, range),
            Event::InlineHtml(text) => self.text(&text, range, self.style(), false),
            Event::SoftBreak | Event::HardBreak if self.table.is_none() => self.open(range.end),
            Event::SoftBreak | Event::HardBreak => self.text(" ", range, self.style(), false),
            Event::Rule => {
                self.gap |= self.is_after_blank(range.start);
                self.open(range.start);
                let rule = "─".repeat(20);
                self.text(&rule, range, MARK, false);
            }
            Event::TaskListMarker(done) => {
                let mark = if done { "[x] " } else { "[ ] " };
                self.text(mark, range, MARK, false);
            }
            Event::FootnoteReference(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.text(&text, range, self.style(), false);
            }
        }
    }

    fn definition(&mut self, range: Range<usize>) {
        for line in self.source[range.clone()].split_inclusive('\n') {
            let at = line.as_ptr().addr() - self.source.as_ptr().addr();
            let shown = line.trim_end();
            self.block(at);
            self.text(shown, at..at + shown.len(), MARK, false);
        }
        self.close();
    }

    fn start(&mut self, tag: Tag<'_>, range: Range<usize>) {
        if self.depth == 0 {
            self.document.last_block = range.start;
            self.document.last_gap = self.is_after_blank(range.start);
        }
        self.depth += 1;
        let at = range.start;
        let style = self.style();
        match tag {
            Tag::Paragraph => self.block(at),
            Tag::Heading { .. } => {
                self.block(at);
                self.styles.push(style.bold());
            }
            Tag::BlockQuote(_) => {
                self.gap |= self.is_after_blank(at);
                self.close();
                self.containers.push(Container::Quote);
            }
            Tag::CodeBlock(_) | Tag::HtmlBlock => {
                self.close();
                self.gap |= self.is_after_blank(at);
                self.block += 1;
                self.code = true;
            }
            Tag::List(first) => {
                self.close();
                self.containers.push(Container::List(first));
            }
            Tag::Item => self.item(at),
            Tag::Table(alignments) => {
                self.close();
                self.gap |= self.is_after_blank(at);
                self.table = Some(Table::new(self.columns, alignments));
                if self.may_go_on(&range) {
                    self.document.open_table = Some(at);
                }
            }
            Tag::TableHead => self.row(at, true),
            Tag::TableRow => self.row(at, false),
            Tag::TableCell => {
                if let Some(table) = &mut self.table {
                    table.cell();
                }
            }
            Tag::Emphasis => self.styles.push(style.italic()),
            Tag::Strong => self.styles.push(style.bold()),
            Tag::Strikethrough => self.styles.push(style.strikethrough()),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push((dest_url.into_string(), at));
                self.styles.push(style.underline());
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd, range: Range<usize>) {
        self.depth -= 1;
        match tag {
            TagEnd::Paragraph => self.close(),
            TagEnd::Heading(_) => {
                self.styles.pop();
                self.close();
            }
            TagEnd::CodeBlock | TagEnd::HtmlBlock => {
                self.close();
                self.code = false;
            }
            TagEnd::Item => {
                if self.is_fresh() {
                    self.open(range.start);
                }
                self.close();
                self.containers.pop();
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) => {
                self.close();
                self.containers.pop();
            }
            TagEnd::Table => self.finish_table(),
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.styles.pop();
            }
            TagEnd::Link | TagEnd::Image => {
                self.styles.pop();
                self.end_link(range);
            }
            _ => {}
        }
    }

    /// A link that its text does not tell says where it leads.
    fn end_link(&mut self, range: Range<usize>) {
        let Some((leads_to, at)) = self.links.pop() else {
            return;
        };
        let text = &self.source[at..range.end];
        let is_told = text.trim_start_matches(['[', '<']).starts_with(&leads_to);
        if !is_told && !leads_to.is_empty() {
            let end = range.end.saturating_sub(1)..range.end;
            self.text(&format!(" ({leads_to})"), end, MARK, false);
        }
    }

    fn item(&mut self, at: usize) {
        self.close();
        self.block += 1;
        self.gap |= self.is_after_blank(at);
        let marker = match self.containers.last_mut() {
            Some(Container::List(Some(number))) => {
                *number += 1;
                format!("{}. ", *number - 1)
            }
            _ => "• ".to_owned(),
        };
        self.containers.push(Container::Item {
            marker,
            is_fresh: true,
        });
    }

    fn is_fresh(&self) -> bool {
        matches!(
            self.containers.last(),
            Some(Container::Item { is_fresh: true, .. })
        )
    }

    /// Whether the table there may have a row more than has come.
    fn may_go_on(&self, range: &Range<usize>) -> bool {
        let rows = self.source[range.clone()].trim_end();
        let after = &self.source[range.start + rows.len()..];
        let blank = &after[..after.len() - after.trim_start().len()];
        blank.matches('\n').count() < 2 && is_mark(after)
    }

    fn row(&mut self, at: usize, is_head: bool) {
        if let Some(table) = &mut self.table {
            table.row(at, is_head);
        }
    }

    fn finish_table(&mut self) {
        let Some(table) = self.table.take() else {
            return;
        };
        let indent: usize = self.containers.iter().map(Container::width).sum();
        for (at, spans) in table.lines(indent) {
            self.open(at);
            if let Some(line) = &mut self.line {
                line.verbatim = true;
                line.is_whole = true;
                line.spans = spans;
            }
        }
        self.close();
    }

    fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }

    /// A block of text begins.
    fn block(&mut self, at: usize) {
        self.close();
        self.block += 1;
        self.gap |= self.is_after_blank(at);
        self.open(at);
    }

    /// Whether the line before that of `at` is blank.
    fn is_after_blank(&mut self, at: usize) -> bool {
        // Blocks come in the order of the source: each line is looked for once.
        let (from, begin) = self.begin_of_line;
        let from = if from <= at { from } else { 0 };
        let begin = match self.source[from..at].rfind('\n') {
            Some(end) => from + end + 1,
            None if from == 0 => 0,
            None => begin,
        };
        self.begin_of_line = (at, begin);
        if begin == 0 {
            return self.gap_before;
        }
        let before = &self.source[..begin - 1];
        let before = before.rsplit('\n').next().unwrap_or_default();
        let is_blank = before.trim_matches(['>', ' ', '\t', '\r']).is_empty();
        is_blank && (begin > 1 || before.is_empty())
    }

    fn open(&mut self, at: usize) {
        self.close();
        let mut line = Line {
            id: (at, 0),
            gap: std::mem::take(&mut self.gap),
            block: self.block,
            ..Line::default()
        };
        if let Some(before) = self.document.lines.last()
            && before.id.0 == at
        {
            line.id.1 = before.id.1 + 1;
        }
        for container in &mut self.containers {
            container.begin(&mut line);
        }
        self.line = Some(line);
    }

    fn close(&mut self) {
        self.document.lines.extend(self.line.take());
    }

    fn text(&mut self, text: &str, source: Range<usize>, style: Style, is_plain: bool) {
        let span = Span {
            source,
            text: text.to_owned(),
            style,
            is_plain,
        };
        if let Some(table) = &mut self.table {
            table.push(span);
            return;
        }
        if self.line.is_none() {
            // The text of a tight item has no paragraph.
            self.open(span.source.start);
        }
        if let Some(line) = &mut self.line {
            line.spans.push(span);
        }
    }

    /// Lines that are shown as they are.
    fn code(&mut self, text: &str, range: Range<usize>) {
        let is_exact = text.len() == range.len();
        let mut at = range.start;
        for line in text.split_inclusive('\n') {
            let end = if is_exact { at + line.len() } else { range.end };
            if self.line.is_none() {
                self.open(at);
            }
            let shown = line.trim_end_matches(['\n', '\r']);
            if let Some(open) = &mut self.line {
                open.verbatim = true;
                open.spans.push(Span {
                    source: at..if is_exact { at + shown.len() } else { end },
                    text: shown.to_owned(),
                    style: CODE,
                    is_plain: false,
                });
            }
            if line.ends_with('\n') {
                self.close();
            }
            if is_exact {
                at = end;
            }
        }
    }
}

impl Container {
    /// The columns that it takes of each line.
    fn width(&self) -> usize {
        match self {
            Self::List(_) => 0,
            Self::Quote => 2,
            Self::Item { marker, .. } => marker.chars().count(),
        }
    }

    /// Gives a line its beginning.
    fn begin(&mut self, line: &mut Line) {
        let style = MARK;
        match self {
            Self::List(_) => {}
            Self::Quote => {
                let bar = [('│', style), (' ', Style::new())];
                line.first.extend(bar);
                line.rest.extend(bar);
            }
            Self::Item { marker, is_fresh } => {
                let spaces = marker.chars().map(|_| (' ', Style::new()));
                line.rest.extend(spaces.clone());
                match std::mem::take(is_fresh) {
                    true => line.first.extend(marker.chars().map(|c| (c, style))),
                    false => line.first.extend(spaces),
                }
            }
        }
    }
}
