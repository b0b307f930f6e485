//! What is shown of an answer: the answer on standard output, the reasoning on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anstyle::Style;
use clap::ValueEnum;
use console::Term;

use super::answer::Piece;
use super::markdown::{Markdown, Words};
use crate::ui::color;
use mxfp4_toolchain::visible::visible_lines;

/// What reasoning looks like, and what this program says.
const DIM: Style = Style::new().dimmed();

/// Columns where there is no terminal to tell them.
const COLUMNS: usize = 80;

/// What becomes of reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reasoning {
    /// It is shown as it comes.
    Show,
    /// How long it took is shown.
    Fold,
    /// Nothing is shown.
    Hide,
}

impl Reasoning {
    /// What becomes of it, in a word.
    pub fn told(self) -> &'static str {
        match self {
            Self::Show => "shown",
            Self::Fold => "folded",
            Self::Hide => "hidden",
        }
    }
}

/// How the text of the model is written.
enum Form {
    /// Markdown for a terminal.
    Rendered(Box<Markdown>),
    /// As it is, with what would act on a terminal made visible.
    Visible,
    /// As it is.
    Exact,
}

/// Shows answers.
pub struct Screen {
    /// What becomes of reasoning.
    pub reasoning: Reasoning,
    answer: Form,
    thoughts: Words,
    part: Part,
    /// Whether the answer's line has not ended.
    is_open: bool,
}

/// What is shown now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Nothing,
    Thoughts(Instant),
    Answer,
}

impl Screen {
    /// For this process's streams.
    pub fn new(reasoning: Reasoning) -> Self {
        let columns = columns();
        let in_color = color::on_stdout();
        let answer = match (in_color, io::stdout().is_terminal()) {
            (true, _) => Form::Rendered(Box::new(Markdown::new(columns))),
            (false, true) => Form::Visible,
            (false, false) => Form::Exact,
        };
        Self {
            reasoning,
            answer,
            thoughts: Words::new(columns, DIM),
            part: Part::Nothing,
            is_open: false,
        }
    }

    /// Shows a piece.
    pub fn piece(&mut self, piece: Piece<'_>) -> io::Result<()> {
        match piece {
            Piece::Reasoning(text) => self.thought(text),
            Piece::Answer(text) => self.answer(text),
        }
    }

    fn thought(&mut self, text: &str) -> io::Result<()> {
        let begins = self.part == Part::Nothing;
        if begins {
            self.part = Part::Thoughts(Instant::now());
        }
        let shown = match self.reasoning {
            Reasoning::Hide => return Ok(()),
            Reasoning::Fold if !begins => return Ok(()),
            Reasoning::Fold => format!("{}", color::styled(DIM, "thinking...")),
            Reasoning::Show if color::on_stderr() => self.thoughts.push(text),
            Reasoning::Show if begins => format!("thinking:\n{}", visible_lines(text)),
            Reasoning::Show => visible_lines(text).into_owned(),
        };
        to_stderr(&shown)
    }

    /// Reasoning is over.
    fn end_thoughts(&mut self) -> io::Result<()> {
        let Part::Thoughts(began) = self.part else {
            return Ok(());
        };
        match self.reasoning {
            Reasoning::Hide => Ok(()),
            Reasoning::Fold => self.folded(began.elapsed()),
            Reasoning::Show => {
                to_stderr(&format!("{}\n", self.thoughts.finish(color::on_stderr())))
            }
        }
    }

    fn folded(&self, took: Duration) -> io::Result<()> {
        let line = format!("thought for {:.1} s", took.as_secs_f64());
        let line = color::styled(DIM, line);
        match color::on_stderr() {
            // In the place of what was there meanwhile.
            true => to_stderr(&format!("\r\u{1b}[K{line}\n\n")),
            false => to_stderr(&format!("\n{line}\n\n")),
        }
    }

    fn answer(&mut self, text: &str) -> io::Result<()> {
        self.end_thoughts()?;
        self.part = Part::Answer;
        let shown = match &mut self.answer {
            Form::Rendered(markdown) => markdown.push(text),
            Form::Visible => visible_lines(text).into_owned(),
            Form::Exact => text.to_owned(),
        };
        self.is_open = !text.ends_with('\n');
        to_stdout(&shown)
    }

    /// The answer is over.
    pub fn end(&mut self) -> io::Result<()> {
        self.end_thoughts()?;
        let part = std::mem::replace(&mut self.part, Part::Nothing);
        let rest = match &mut self.answer {
            Form::Rendered(markdown) => markdown.finish(),
            Form::Visible | Form::Exact if self.is_open => "\n".to_owned(),
            Form::Visible | Form::Exact => String::new(),
        };
        self.is_open = false;
        match part {
            Part::Answer => to_stdout(&rest),
            Part::Thoughts(_) | Part::Nothing => Ok(()),
        }
    }
}

/// Says something that is not the model's.
pub fn note(text: &str) {
    say(text, DIM);
}

/// Says what went wrong.
pub fn error(text: &str) {
    let mut words = Words::new(columns(), in_color(color::ERROR));
    let mut line = words.push("error:");
    words.restyle(Style::new());
    line += &words.push(&format!(" {text}"));
    let _ = to_stderr(&(line + &words.finish(true)));
}

fn say(text: &str, style: Style) {
    let mut words = Words::new(columns(), in_color(style));
    let _ = to_stderr(&(words.push(text) + &words.finish(true)));
}

fn in_color(style: Style) -> Style {
    if color::on_stderr() {
        style
    } else {
        Style::new()
    }
}

/// The width of the terminal.
fn columns() -> usize {
    let size = Term::stderr()
        .size_checked()
        .or_else(|| Term::stdout().size_checked());
    size.map_or(COLUMNS, |(_, columns)| columns.into())
}

fn to_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn to_stderr(text: &str) -> io::Result<()> {
    io::stderr().write_all(text.as_bytes())
}
