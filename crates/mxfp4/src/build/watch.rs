//! `mxfp4 build --watch`: build and test whenever a source has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use mxfp4_env::{Layout, Workspace};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use serde_json::json;

use super::{Args, build};
use crate::context::Context;
use crate::exit;
use crate::message_format::{self, MessageFormat, wants_color};
use crate::test;

/// How long nothing may happen before a save counts as over: editors write, rename and touch in a row.
const QUIET: Duration = Duration::from_millis(200);
/// How long a save may go on: something that writes all the time must not keep a round from beginning.
const LONGEST_SAVE: Duration = Duration::from_secs(5);

/// Builds and tests, now and after each change, until a signal ends it.
pub fn run(context: Context, args: &Args) -> anyhow::Result<i32> {
    let mut context = context;
    let (sender, changes) = mpsc::channel();
    let mut number = 0;
    loop {
        number += 1;
        let sources = Sources::of(&context);
        // Before they are looked at: what changes from here on is another round.
        let watcher = sources.watch(sender.clone())?;
        let before = sources.look();
        let round = Round::run(&context, args);
        if let Some(signal) = round.interrupted {
            return Ok(signal);
        }
        round.report(&context, args, number, before.len());
        wait_for_change(&sources, &before, &changes);
        context = again(context, args.how.message_format, &changes);
        drop(watcher);
    }
}

/// The context with the configuration as it is now. While that is wrong nothing else can be done.
fn again(context: Context, format: MessageFormat, changes: &Receiver<()>) -> Context {
    let root = context.workspace.root.clone();
    let mut told = String::new();
    loop {
        match Workspace::find(Some(&root), &context.cwd) {
            Ok(workspace) => {
                return Context {
                    workspace,
                    ..context
                };
            }
            Err(error) => {
                let error = error.to_string();
                if error != told && !format.is_json() {
                    eprintln!("error: {error}");
                    status(&format!(
                        "waiting for {}",
                        root.join("mxfp4.toml").display()
                    ));
                }
                told = error;
                settled_change(changes);
            }
        }
    }
}

/// Returns when the content of `sources` is another than `before`.
fn wait_for_change(sources: &Sources, before: &BTreeMap<PathBuf, Stamp>, changes: &Receiver<()>) {
    loop {
        // What happened during the round is in the channel already.
        settled_change(changes);
        // A file that was opened, or written as it was, is no change.
        if sources.look() != *before {
            return;
        }
    }
}

/// Returns when something was written and then nothing for a while.
fn settled_change(changes: &Receiver<()>) {
    // It has a sender as long as it is watched.
    let _ = changes.recv();
    let begin = Instant::now();
    while begin.elapsed() < LONGEST_SAVE && changes.recv_timeout(QUIET).is_ok() {}
}

/// What is watched.
struct Sources {
    root: PathBuf,
    /// Files and folders: whatever in them is a source.
    paths: BTreeSet<PathBuf>,
}

/// The content of a file, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stamp {
    Content(u64),
    /// It cannot be read; when it was changed.
    Unreadable(Option<SystemTime>),
}

impl Sources {
    fn of(context: &Context) -> Self {
        let workspace = &context.workspace;
        let config = &workspace.config;
        let kernels = config.kernels.iter();
        let kernels =
            kernels.flat_map(|kernel| std::iter::once(&kernel.source).chain(&kernel.includes));
        let tests = config.tests.mojo.iter().chain(&config.tests.python);
        let mut paths: BTreeSet<PathBuf> = kernels
            .chain(tests)
            .chain(&config.tests.mojo_includes)
            .map(|path| workspace.root.join(path))
            .collect();
        if workspace.layout == Layout::Modular {
            paths.insert(workspace.root.join("max/kernels/src"));
        }
        Self {
            root: workspace.root.clone(),
            paths,
        }
    }

    /// Has every change of a source sent, and of the configuration. A file is watched by its folder: an editor that
    /// renames a new one over it would take the watch away with the old.
    fn watch(&self, sender: mpsc::Sender<()>) -> anyhow::Result<RecommendedWatcher> {
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let matters = match event {
                    // Reading is no change, and a round reads a lot.
                    Ok(event) => {
                        !event.kind.is_access() && event.paths.iter().any(|path| is_source(path))
                    }
                    // Some events were lost.
                    Err(_) => true,
                };
                if matters {
                    let _ = sender.send(());
                }
            })
            .context("cannot watch files")?;
        let mut folders = BTreeMap::from([(self.root.as_path(), RecursiveMode::NonRecursive)]);
        for path in &self.paths {
            match path.is_dir() {
                true => folders.insert(path, RecursiveMode::Recursive),
                false => match path.parent() {
                    Some(folder) if folder.is_dir() => {
                        folders.entry(folder).or_insert(RecursiveMode::NonRecursive);
                        None
                    }
                    _ => None,
                },
            };
        }
        for (folder, mode) in folders {
            watcher.watch(folder, mode).with_context(|| {
                format!(
                    "cannot watch {} (the limit is fs.inotify.max_user_watches of sysctl)",
                    folder.display()
                )
            })?;
        }
        Ok(watcher)
    }

    /// All sources with their content.
    fn look(&self) -> BTreeMap<PathBuf, Stamp> {
        let mut found = BTreeMap::new();
        look(&self.root.join("mxfp4.toml"), &mut found);
        for path in &self.paths {
            look(path, &mut found);
        }
        found
    }
}

fn look(path: &Path, found: &mut BTreeMap<PathBuf, Stamp>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if is_source(&path) || (path.is_dir() && !is_link) {
                look(&path, found);
            }
        }
    } else if path.exists() {
        let stamp = match std::fs::read(path) {
            Ok(content) => {
                use std::hash::{DefaultHasher, Hash, Hasher};
                let mut hasher = DefaultHasher::new();
                content.hash(&mut hasher);
                Stamp::Content(hasher.finish())
            }
            Err(_) => Stamp::Unreadable(path.metadata().and_then(|meta| meta.modified()).ok()),
        };
        found.insert(path.to_owned(), stamp);
    }
}

/// Whether a file of this name is read by a build or a test: editors put others beside it, and Python too.
fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name == "mxfp4.toml" || name.starts_with("BUILD") {
        return true;
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && ["mojo", "🔥", "py", "bzl", "toml"].contains(&&*extension)
}

/// One build and its tests.
struct Round {
    /// What each part came to, in words.
    parts: Vec<String>,
    success: bool,
    /// The exit code, when a signal ended it.
    interrupted: Option<i32>,
    time: Duration,
}

impl Round {
    fn run(context: &Context, args: &Args) -> Self {
        let start = Instant::now();
        let mut round = Self {
            parts: Vec::new(),
            success: true,
            interrupted: None,
            time: Duration::ZERO,
        };
        match build(context, &args.how, args.no_setup) {
            Ok(()) => round.parts.push("built".to_owned()),
            Err(error) => round.failed("build", &error),
        }
        if round.success && !args.no_test {
            match test::run_watched(context, &args.tests, args.how.message_format) {
                Ok(ran) => {
                    round.success = ran.code == 0;
                    round.interrupted = (ran.code > 128).then_some(ran.code);
                    round.parts.push(ran.counts);
                }
                Err(error) => round.failed("test", &error),
            }
        }
        round.time = start.elapsed();
        round
    }

    fn failed(&mut self, what: &str, error: &anyhow::Error) {
        eprintln!("error: {}", crate::message(error));
        let code = i32::from(exit::code_of(error));
        self.interrupted = (code > 128).then_some(code);
        self.success = false;
        self.parts.push(format!("{what} failed"));
    }

    fn report(&self, context: &Context, args: &Args, number: usize, files: usize) {
        if args.how.message_format.is_json() {
            message_format::print(&json!({
                "reason": "round-finished",
                "number": number,
                "success": self.success,
                "seconds": self.time.as_secs_f64(),
            }));
            return;
        }
        if context.is_quiet() {
            return;
        }
        let color = wants_color(io::stderr().is_terminal());
        let word = match (self.success, color) {
            (true, true) => "\x1b[1;32mok\x1b[0m",
            (true, false) => "ok",
            (false, true) => "\x1b[1;31mFAILED\x1b[0m",
            (false, false) => "FAILED",
        };
        status(&format!(
            "{word}: {} in {:.1} s",
            self.parts.join(", "),
            self.time.as_secs_f64()
        ));
        status(&format!("watching {files} files; Ctrl-C ends"));
    }
}

/// A line of the watch itself, with the time of day.
fn status(text: &str) {
    eprintln!(
        "[{}] {text}",
        jiff::ZonedDateTime::now().strftime("%H:%M:%S")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_editor_leaves_beside_a_source_is_none() {
        for (name, expected) in [
            ("a/ops.mojo", true),
            ("a/ops.🔥", true),
            ("a/test_x.py", true),
            ("mxfp4.toml", true),
            ("a/BUILD.bazel", true),
            ("a/.ops.mojo.swp", false),
            ("a/.#ops.mojo", false),
            ("a/ops.mojo~", false),
            ("a/4913", false),
            ("a/__pycache__/x.cpython-311.pyc", false),
            ("a/build/x.mojoc", false),
        ] {
            assert_eq!(is_source(Path::new(name)), expected, "{name}");
        }
    }
}
