//! `mxfp4 fmt`

mod files;
mod language;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mxfp4_env::{Layout, Sdk};
use mxfp4_process::{Command, Line, Outcome, Output};
use nix::unistd::{AccessFlags, access};

use self::files::Files;
use self::language::Language;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::prepare::ensure_sdk;

/// Format the workspace's Mojo, Python and Rust
///
/// Mojo with the SDK's mblack, Python with the ruff that python/uv.lock names, Rust with rustfmt where there is a
/// Cargo.toml. Prints the files that were formatted, or with --check those that are not, which then is a failure. What
/// git ignores is left alone. In a Modular checkout, without paths, only the tests that mxfp4.toml names are formatted.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing; print the files that are not formatted, and exit with 1 where there is one
    #[arg(long)]
    check: bool,
    /// Files and folders, instead of the whole workspace
    paths: Vec<PathBuf>,
    /// Fail where the SDK is missing, instead of making it
    #[arg(long)]
    no_setup: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let paths = match args.paths.is_empty() {
        true => default_paths(context),
        false => args
            .paths
            .iter()
            .map(|path| context.cwd.join(path))
            .collect(),
    };
    let files = Files::find(&paths)?;
    let mut changed = BTreeSet::new();
    for language in [Language::Mojo, Language::Python, Language::Rust] {
        let files = files.of(language);
        if files.is_empty() {
            continue;
        }
        let Some(command) = formatter(context, &args, language, &files)? else {
            continue;
        };
        let before = contents(&files);
        let run = Run::of(&command.cwd(&context.workspace.root))?;
        if run.outcome.interrupted.is_some() {
            return Ok(run.outcome.code());
        }
        let unlike: Vec<_> = match args.check {
            true => run.named(context, &files),
            false => files
                .iter()
                .zip(contents(&files).into_iter().zip(before))
                .filter(|(_, (after, before))| after != before)
                .map(|(file, _)| *file)
                .collect(),
        };
        changed.extend(unlike.iter().map(|file| file.to_path_buf()));
        if run.has_failed(args.check && !unlike.is_empty()) {
            run.say();
            print(context, &changed)?;
            let outcome = run.outcome;
            let message = format!("{language:?} could not be formatted ({outcome}), see above");
            return Err(Failure::new(Exit::Failed, message).into());
        }
    }
    print(context, &changed)?;
    if args.check && !changed.is_empty() {
        let (count, s) = (changed.len(), if changed.len() == 1 { "" } else { "s" });
        let message = format!("{count} file{s} not formatted; `mxfp4 fmt` formats what is listed");
        return Err(Failure::new(Exit::Failed, message).into());
    }
    Ok(0)
}

fn default_paths(context: &Context) -> Vec<PathBuf> {
    let workspace = &context.workspace;
    if workspace.layout == Layout::Standalone {
        return vec![workspace.root.clone()];
    }
    // The rest of the checkout has its own formatters.
    let tests = workspace
        .config
        .tests
        .mojo
        .iter()
        .chain(&workspace.config.tests.python);
    let tests = tests.map(|path| workspace.root.join(path));
    tests.filter(|path| path.exists()).collect()
}

/// The command that formats `files`, or `None` with the reason said.
fn formatter(
    context: &Context,
    args: &Args,
    language: Language,
    files: &[&Path],
) -> anyhow::Result<Option<Command>> {
    let command = match language {
        Language::Mojo => {
            let sdk = ensure_sdk(context, args.no_setup)?;
            let Some(mblack) = script(&sdk, "mblack") else {
                return Ok(none("Mojo", &sdk.site, "mblack"));
            };
            // `mojo format` is this, but refuses --check.
            Command::new(mblack).args(args.check.then_some("--check"))
        }
        Language::Python => {
            let sdk = ensure_sdk(context, args.no_setup)?;
            let Some(ruff) = script(&sdk, "ruff") else {
                return Ok(none("Python", &sdk.site, "ruff"));
            };
            // With --check releases differ in how they name a file; a diff has its name in all of them.
            // Ruff keeps what it knows beside the files, and fails where it cannot.
            let is_read_only = access(&context.workspace.root, AccessFlags::W_OK).is_err();
            Command::new(ruff)
                .args(["format", "--force-exclude"])
                .args(is_read_only.then_some("--no-cache"))
                .args(args.check.then_some("--diff"))
        }
        Language::Rust => {
            let manifest = context.workspace.root.join("Cargo.toml");
            let Ok(manifest) = mxfp4_fs::read_text(&manifest) else {
                return Ok(None);
            };
            let path = context.ambient.get("PATH").unwrap_or_default();
            let has = |name| std::env::split_paths(path).any(|folder| folder.join(name).is_file());
            if !has("cargo") || !has("rustfmt") {
                tracing::warn!("Rust is not formatted: cargo and rustfmt are not both on PATH");
                return Ok(None);
            }
            let check = args.check.then_some("--check");
            if args.paths.is_empty() {
                // It knows the edition of each package.
                let cargo = Command::new("cargo").args(["fmt", "--all", "--", "-l"]);
                return Ok(Some(cargo.args(check)));
            }
            Command::new("rustfmt")
                .args(["-l", "--edition", &edition(&manifest)])
                .args(check)
        }
    };
    Ok(Some(command.args(files.iter().copied())))
}

fn none(language: &str, place: &Path, program: &str) -> Option<Command> {
    tracing::warn!(
        "{language} is not formatted: the SDK at {} has no {program} that can run here",
        place.display()
    );
    None
}

fn script(sdk: &Sdk, name: &str) -> Option<PathBuf> {
    sdk.scripts()
        .map(|scripts| scripts.join(name))
        .filter(|script| script.is_file())
}

/// The edition in a Cargo.toml, of the package or of the workspace's packages.
fn edition(manifest: &str) -> String {
    let line = manifest.lines().find_map(|line| {
        let value = line
            .trim()
            .strip_prefix("edition")?
            .trim_start()
            .strip_prefix('=')?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    });
    line.unwrap_or_else(|| "2024".to_owned())
}

fn contents(files: &[&Path]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| fs::read(file).ok()).collect()
}

/// A formatter that has run.
struct Run {
    lines: Vec<Line>,
    outcome: Outcome,
}

impl Run {
    fn of(command: &Command) -> anyhow::Result<Self> {
        let mut lines = Vec::new();
        let command = command.clone().output(Output::Lines);
        let outcome = command.run(&mut |line| lines.push(line))?;
        Ok(Self { lines, outcome })
    }

    /// Those of `files` that its lines name as not formatted.
    fn named<'a>(&self, context: &Context, files: &[&'a Path]) -> Vec<&'a Path> {
        let named = self.lines.iter().filter_map(|line| {
            let name = ["would reformat ", "--- "]
                .iter()
                .find_map(|prefix| line.text.strip_prefix(prefix));
            let name = name.unwrap_or(&line.text);
            // One tool names the file as it was told to, another where links lead.
            context.workspace.root.join(name).canonicalize().ok()
        });
        let named: BTreeSet<PathBuf> = named.collect();
        let is_named = |file: &Path| file.canonicalize().is_ok_and(|file| named.contains(&file));
        files
            .iter()
            .copied()
            .filter(|file| is_named(file))
            .collect()
    }

    /// Whether it did not do its work; exit code 1 may only mean that files are not formatted.
    fn has_failed(&self, has_found: bool) -> bool {
        let complains = |line: &Line| line.text.starts_with("error");
        let found = has_found && self.outcome.code() == 1 && !self.lines.iter().any(complains);
        !self.outcome.success() && !found
    }

    fn say(&self) {
        for line in &self.lines {
            eprintln!("{}", line.text);
        }
    }
}

/// Prints the files, relative to the workspace's root.
fn print(context: &Context, files: &BTreeSet<PathBuf>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for file in files {
        let name = file.strip_prefix(&context.workspace.root).unwrap_or(file);
        writeln!(stdout, "{}", name.display())?;
    }
    Ok(())
}
