//! The line that is typed, with its history.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use mxfp4_env::Ambient;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{
    Behavior, Cmd, CompletionType, ConditionalEventHandler, Config, Event, EventContext,
    EventHandler, Helper, KeyCode, KeyEvent, Modifiers, RepeatCount,
};

use super::command;

/// What is before the line.
const PROMPT: &str = "> ";

/// How many lines are kept.
const KEPT: usize = 1000;

/// What came of a line.
pub enum Line {
    /// It was sent.
    Sent(String),
    /// Ctrl-C; whether nothing had been typed.
    Interrupted(bool),
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// Edits lines.
pub struct Editor {
    editor: rustyline::Editor<Completion, FileHistory>,
    history: Option<PathBuf>,
    was_empty: Arc<AtomicBool>,
}

impl Editor {
    /// One that keeps its history in the file, if there is one.
    pub fn new(history: Option<PathBuf>) -> anyhow::Result<Self> {
        let config = Config::builder()
            // Answers may be written to a file while questions are typed.
            .behavior(Behavior::PreferTerm)
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .max_history_size(KEPT)?
            .build();
        let mut editor =
            rustyline::Editor::with_config(config).context("cannot edit lines here")?;
        editor.set_helper(Some(Completion(FilenameCompleter::new())));
        for key in [
            KeyEvent(KeyCode::Enter, Modifiers::ALT),
            KeyEvent(KeyCode::Char('J'), Modifiers::CTRL),
        ] {
            editor.bind_sequence(key, EventHandler::Simple(Cmd::Newline));
        }
        let was_empty = Arc::new(AtomicBool::new(true));
        let look = Look(Arc::clone(&was_empty));
        let interrupt = KeyEvent(KeyCode::Char('C'), Modifiers::CTRL);
        editor.bind_sequence(interrupt, EventHandler::Conditional(Box::new(look)));
        let mut editor = Self {
            editor,
            history,
            was_empty,
        };
        editor.load();
        Ok(editor)
    }

    /// Reads a line, which begins as `text`.
    pub fn read(&mut self, text: &str) -> anyhow::Result<Line> {
        match self.editor.readline_with_initial(PROMPT, (text, "")) {
            Ok(line) => {
                self.keep(&line);
                Ok(Line::Sent(line))
            }
            Err(ReadlineError::Interrupted) => {
                Ok(Line::Interrupted(self.was_empty.load(Ordering::SeqCst)))
            }
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(error) => Err(error).context("cannot read from the terminal"),
        }
    }

    fn load(&mut self) {
        let Some(path) = &self.history else {
            return;
        };
        let loaded = private(path)
            .map_err(ReadlineError::from)
            .and_then(|()| self.editor.load_history(path));
        if let Err(error) = loaded {
            tracing::warn!(
                "{}: {error}; this chat's lines are not kept",
                path.display()
            );
            self.history = None;
        }
    }

    fn keep(&mut self, line: &str) {
        let kept = self.editor.add_history_entry(line);
        if let (Ok(true), Some(path)) = (kept, &self.history)
            && let Err(error) = self.editor.append_history(path)
        {
            tracing::debug!("{}: {error}", path.display());
        }
    }
}

/// The file of the history: `$XDG_STATE_HOME/mxfp4/chat-history`, or the same below `~/.local/state`.
pub fn history(ambient: &Ambient) -> Option<PathBuf> {
    Some(crate::state::folder(ambient)?.join("chat-history"))
}

/// Makes the file where it is not there. Nobody else may read it.
fn private(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

/// Completes commands, and paths after an `@`.
struct Completion(FilenameCompleter);

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..at];
        if before.starts_with('/') && !before.contains(char::is_whitespace) {
            let names = command::NAMES
                .iter()
                .filter(|name| name.starts_with(before));
            let pair = |name: &&str| Pair {
                display: (*name).to_owned(),
                replacement: format!("{name} "),
            };
            return Ok((0, names.map(pair).collect()));
        }
        let word = before
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or_default();
        match word.starts_with('@') {
            true => self.0.complete_path(line, at),
            false => Ok((at, Vec::new())),
        }
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

/// Looks at the line that Ctrl-C meets.
struct Look(Arc<AtomicBool>);

impl ConditionalEventHandler for Look {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext) -> Option<Cmd> {
        self.0.store(context.line().is_empty(), Ordering::SeqCst);
        Some(Cmd::Interrupt)
    }
}
