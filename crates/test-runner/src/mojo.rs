//! Mojo tests: programs that print a line for each case, and files that must
//! compile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::CstRootNode;
use mxfp4_env::Layout;
use mxfp4_process::{Command, Line, Outcome, Output, Stream};
use mxfp4_toolchain::visible::visible;
use serde_json::Value;

use crate::report::{Again, Case, Language, Verdict};
use crate::reporter::Reporter;
use crate::run::{Interrupted, Listed, TestRun};

/// What the GPU code is compiled for where there is no GPU.
const TARGET: &str = "sm_90a";

/// The programs. Which cases one has, only its run tells.
pub fn list(test_run: &TestRun) -> anyhow::Result<Vec<Listed>> {
    let programs = programs(test_run)?.into_iter();
    Ok(programs
        .map(|program| Listed {
            language: Language::Mojo,
            name: program.stem.clone(),
            gpu: program.needs_gpu(),
        })
        .collect())
}

/// The programs that are wanted, or that may have a case that is.
pub fn programs<'a>(test_run: &'a TestRun) -> anyhow::Result<Vec<Program<'a>>> {
    let mut programs = Vec::new();
    for path in &test_run.context.workspace.config.tests.mojo {
        for file in test_files(&test_run.context.workspace.root, path.as_ref())? {
            let program = Program::new(test_run, file);
            if program.may_be_wanted() {
                programs.push(program);
            }
        }
    }
    Ok(programs)
}

/// The test files at `path`, relative to the root: the file itself, or the
/// folder's test_*.mojo and compile_*.mojo by name.
fn test_files(root: &Path, path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let absolute = root.join(path);
    if !absolute.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let cannot_read = || format!("cannot read {}", absolute.display());
    for entry in fs::read_dir(&absolute).with_context(cannot_read)? {
        let name = entry.with_context(cannot_read)?.file_name();
        let text = name.to_string_lossy();
        let is_test = text.starts_with("test_") || text.starts_with("compile_");
        if is_test && text.ends_with(".mojo") {
            files.push(path.join(name));
        }
    }
    files.sort();
    Ok(files)
}

/// A program that is one or more tests, or a file that is to compile.
pub struct Program<'a> {
    test_run: &'a TestRun<'a>,
    /// Relative to the workspace's root.
    file: PathBuf,
    stem: String,
    source: String,
}

impl<'a> Program<'a> {
    fn new(test_run: &'a TestRun<'a>, file: PathBuf) -> Self {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            stem: stem.into_owned(),
            // What cannot be read fails when it is run.
            source: mxfp4_fs::read_text(&test_run.context.workspace.root.join(&file))
                .unwrap_or_default(),
            test_run,
            file,
        }
    }

    /// Whether it is only to compile.
    fn only_compiles(&self) -> bool {
        self.stem.starts_with("compile_")
    }

    /// Whether its cases are skipped without a GPU.
    fn needs_gpu(&self) -> bool {
        self.stem.starts_with("test_gpu_")
    }

    /// Whether it takes long to compile: GPU code does.
    pub fn is_long(&self) -> bool {
        self.only_compiles() || self.needs_gpu()
    }

    /// Whether it holds GPU code that no GPU here would have compiled.
    fn compiles_ahead(&self) -> bool {
        self.needs_gpu() && !self.test_run.settings.hopper
    }

    /// Whether all of its cases are wanted.
    fn is_wanted(&self) -> bool {
        self.test_run.settings.filter.wants(&self.stem)
    }

    /// Whether the case is wanted.
    fn wants(&self, case: &str) -> bool {
        self.is_wanted() || self.test_run.settings.filter.wants(case)
    }

    /// Whether one of its cases may be wanted: their names are in the source.
    fn may_be_wanted(&self) -> bool {
        self.test_run
            .settings
            .gpu
            .is_none_or(|gpu| gpu == self.needs_gpu())
            && (self.is_wanted()
                || (!self.only_compiles()
                    && self.test_run.settings.filter.may_want_of(&self.source))
                || self.test_run.settings.filter.wants(&self.compile_case()))
    }

    /// Runs it, or compiles what is only to compile.
    pub fn check(&self, reporter: &mut Reporter) -> anyhow::Result<Option<Interrupted>> {
        let path = self.test_run.context.workspace.root.join(&self.file);
        if !path.is_file() {
            let what = match path.exists() {
                true => "it is no file",
                false => "there is no such file; `tests.mojo` of mxfp4.toml names it",
            };
            let reason = what.to_owned();
            let case = Case {
                language: Language::Mojo,
                name: self.file.display().to_string(),
                verdict: Verdict::Failed(reason),
                time: Duration::ZERO,
                tries: 1,
                output: String::new(),
                again: self.again(&self.command()),
            };
            reporter.ended(case);
            return Ok(None);
        }
        let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
        let command = self.command();
        let again = match self.only_compiles() {
            true => self.again(&command.clone().args(["-o", "/dev/null"])),
            false => self.again(&command),
        };
        let command = match self.only_compiles() {
            true => command.arg("-o").arg(scratch.path().join(&self.stem)),
            false => command,
        };
        let command = self.run_command(&command.arg(&self.file));
        let mut tries = Tries::new(self, again, reporter);
        while tries.again() {
            let reporter = &tries.reporter;
            reporter.running(&format!("mojo: {}", self.file.display()));
            if let Some(interrupted) = self.run(&command, &mut tries)? {
                return Ok(Some(interrupted));
            }
        }
        Ok(None)
    }

    fn command(&self) -> Command {
        let subcommand = if self.only_compiles() { "build" } else { "run" };
        let mut command = Command::new("mojo").arg(subcommand);
        if self.only_compiles() || self.compiles_ahead() {
            command = command.arg(format!("--target-accelerator={TARGET}"));
        }
        for include in self.includes() {
            command = command.arg("-I").arg(include);
        }
        command
    }

    /// The import paths: those of the configuration, and the file's own folder,
    /// for what the tests share.
    fn includes(&self) -> Vec<PathBuf> {
        let tests = &self.test_run.context.workspace.config.tests;
        let mut includes: Vec<PathBuf> = tests
            .mojo_includes
            .iter()
            .map(|path| path.as_ref().to_owned())
            .collect();
        if self.test_run.context.workspace.layout == Layout::Standalone
            && let Some(folder) = self.file.parent()
            && !includes.iter().any(|include| include == folder)
        {
            includes.push(folder.to_owned());
        }
        includes
    }

    fn again(&self, command: &Command) -> Again {
        Again {
            arguments: vec![self.stem.clone()],
            direct: String::from_utf8_lossy(&command.clone().arg(&self.file).dry_run())
                .into_owned(),
            debug: (!self.only_compiles())
                .then(|| launch(&self.test_run.context.workspace.root, &self.file))
                .flatten(),
        }
    }

    /// Runs it once.
    fn run(&self, command: &Command, tries: &mut Tries) -> anyhow::Result<Option<Interrupted>> {
        let (mut cases, mut failures) = (0, 0);
        let (mut all, mut since) = (Vec::new(), 0);
        let start = Instant::now();
        let mut last = start;
        let outcome = command.run(&mut |line| {
            tries.reporter.chatter(&line.text);
            let parsed = parse(&line).filter(|_| !self.only_compiles());
            all.push(line.text);
            let Some((case, verdict)) = parsed else {
                return;
            };
            cases += 1;
            failures += usize::from(matches!(verdict, Verdict::Failed(_)));
            if self.wants(&case) {
                let name = format!("{}: {case}", self.stem);
                tries.add(name, verdict, last.elapsed(), &all[since..all.len() - 1]);
            }
            since = all.len();
            last = Instant::now();
        })?;
        if outcome.interrupted.is_some() || outcome.stopped {
            return Ok(Some(Interrupted(outcome.code())));
        }
        if self.only_compiles() || (outcome.success() && self.compiles_ahead()) {
            let case = self.compile_case();
            let verdict = match outcome.success() {
                true => Verdict::Passed,
                false => Verdict::Failed(self.reason(outcome, "; see the compiler's output")),
            };
            if self.wants(&case) {
                tries.add(case, verdict, start.elapsed(), &all);
            }
            if self.only_compiles() {
                return Ok(None);
            }
        }
        // Outside our own tests nobody is bound to our lines: the exit code counts.
        let silent = cases == 0 && self.test_run.context.workspace.layout == Layout::Standalone;
        let verdict = if outcome.timed_out || (!outcome.success() && failures == 0) {
            Verdict::Failed(self.reason(outcome, ", without a FAIL line; see its output"))
        } else if silent {
            Verdict::Failed("it printed no PASS, FAIL or SKIP line".to_owned())
        } else if cases == 0 || tries.has_failed(&self.stem) {
            Verdict::Passed
        } else {
            return Ok(None);
        };
        tries.add(self.stem.clone(), verdict, start.elapsed(), &all);
        Ok(None)
    }

    fn reason(&self, outcome: Outcome, rest: &str) -> String {
        match outcome.timed_out {
            true => self.test_run.timed_out(),
            false => format!("{outcome}{rest}"),
        }
    }

    fn compile_case(&self) -> String {
        format!("compiles for {TARGET}: {}", self.file.display())
    }

    fn run_command(&self, command: &Command) -> Command {
        self.test_run
            .prepare(command)
            .program(self.test_run.sdk.mojo())
            .timeout(self.test_run.settings.timeout)
            .stopper(self.test_run.stopper.clone())
            .output(Output::Lines)
    }
}

/// The runs of one program, and what they say of each of its cases together.
struct Tries<'a, 'b, 'c> {
    program: &'b Program<'a>,
    again: Again,
    reporter: &'b mut Reporter<'c>,
    /// The number of the run, from 1.
    number: u32,
    /// How often each name came up in this run: cases may share one.
    seen: BTreeMap<String, usize>,
    /// What is reported.
    settled: BTreeSet<(String, usize)>,
    /// What failed and is tried again.
    failed: BTreeMap<(String, usize), Case>,
}

impl<'a, 'b, 'c> Tries<'a, 'b, 'c> {
    fn new(program: &'b Program<'a>, again: Again, reporter: &'b mut Reporter<'c>) -> Self {
        Self {
            program,
            again,
            reporter,
            number: 0,
            seen: BTreeMap::new(),
            settled: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Begins the next run, where there is to be one.
    fn again(&mut self) -> bool {
        if self.number > 0 && self.failed.is_empty() {
            return false;
        }
        if self.number > self.program.test_run.settings.retries {
            // What did not come up again has failed all the same.
            for (_, case) in std::mem::take(&mut self.failed) {
                self.reporter.ended(case);
            }
            return false;
        }
        self.number += 1;
        self.seen.clear();
        true
    }

    /// Whether it failed in an earlier run.
    fn has_failed(&self, name: &str) -> bool {
        self.failed.keys().any(|(failed, _)| failed == name)
    }

    /// Takes note of a case of this run.
    fn add(&mut self, name: String, verdict: Verdict, time: Duration, output: &[String]) {
        let count = self.seen.entry(name.clone()).or_default();
        *count += 1;
        let key = (name.clone(), *count);
        if self.settled.contains(&key) {
            return;
        }
        let before = self.failed.remove(&key);
        let verdict = match (verdict, &before) {
            (Verdict::Passed, Some(before)) => {
                Verdict::Flaky(before.verdict.reason().unwrap_or_default().to_owned())
            }
            (verdict, _) => verdict,
        };
        let failed = matches!(verdict, Verdict::Failed(_));
        let case = Case {
            language: Language::Mojo,
            name: visible(&name).into_owned(),
            output: match failed {
                true => output.join("\n"),
                false => String::new(),
            },
            verdict,
            time,
            tries: self.number,
            again: self.again.clone(),
        };
        if failed && self.number <= self.program.test_run.settings.retries {
            self.reporter.retry(&case);
            self.failed.insert(key, case);
        } else {
            self.settled.insert(key);
            self.reporter.ended(case);
        }
    }
}

/// How VS Code debugs this test: the launch configuration that names its file, or the one for the file in the editor.
fn launch(root: &Path, file: &Path) -> Option<String> {
    let text = mxfp4_fs::read_text(&root.join(".vscode/launch.json")).ok()?;
    // As VS Code reads it: with comments.
    let launches = CstRootNode::parse(&text, &ParseOptions::default()).ok()?;
    let launches: Value = launches.value()?.to_serde_value()?;
    let launches = launches["configurations"].as_array()?;
    let named = |wanted: &str| {
        launches
            .iter()
            .find(|launch| launch["type"] == "mojo-lldb" && launch["mojoFile"] == wanted)
            .and_then(|launch| launch["name"].as_str())
    };
    let file = file.display();
    if let Some(name) = named(&format!("${{workspaceFolder}}/{file}")) {
        return Some(format!("in VS Code, start \"{name}\""));
    }
    named("${file}")
        .map(|name| format!("in VS Code, open {file}\n              and start \"{name}\""))
}

/// `PASS name`, `FAIL name: reason` or `SKIP name: reason`.
fn parse(line: &Line) -> Option<(String, Verdict)> {
    if line.stream != Stream::Stdout {
        return None;
    }
    let (word, rest) = line.text.split_once(' ')?;
    let (name, reason) = rest.split_once(": ").unwrap_or((rest, ""));
    let reason = reason.strip_prefix("skipped: ").unwrap_or(reason).trim();
    let reason = if reason.is_empty() {
        "no reason given"
    } else {
        reason
    };
    Some(match word {
        "PASS" => (rest.trim().to_owned(), Verdict::Passed),
        "FAIL" => (name.trim().to_owned(), Verdict::Failed(reason.to_owned())),
        "SKIP" => (name.trim().to_owned(), Verdict::Skipped(reason.to_owned())),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_test_program() {
        let parsed = |text: &str| {
            parse(&Line {
                stream: Stream::Stdout,
                text: text.to_owned(),
            })
        };
        let case = |name: &str, verdict| Some((name.to_owned(), verdict));
        let failed = |reason: &str| Verdict::Failed(reason.to_owned());
        let skipped = |reason: &str| Verdict::Skipped(reason.to_owned());
        for (text, expected) in [
            ("PASS all codes", case("all codes", Verdict::Passed)),
            ("PASS n: 32", case("n: 32", Verdict::Passed)),
            ("FAIL sum: 3: 4", case("sum", failed("3: 4"))),
            ("FAIL sum", case("sum", failed("no reason given"))),
            (
                "SKIP big: skipped: needs a Hopper GPU (sm_90)",
                case("big", skipped("needs a Hopper GPU (sm_90)")),
            ),
            ("PASSED", None),
            ("passing by", None),
            ("", None),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
        let text = "PASS on stderr".to_owned();
        let stream = Stream::Stderr;
        assert_eq!(parse(&Line { stream, text }), None);
    }

    #[test]
    fn the_files_of_a_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("t");
        fs::create_dir(&folder).unwrap();
        for name in [
            "test_b.mojo",
            "compile_a.mojo",
            "helper.mojo",
            "test_x.py",
            "test_a.mojo",
        ] {
            fs::write(folder.join(name), "").unwrap();
        }
        let files = test_files(root.path(), Path::new("t")).unwrap();
        let names = ["t/compile_a.mojo", "t/test_a.mojo", "t/test_b.mojo"];
        assert_eq!(files, names.map(PathBuf::from));
        let one = Path::new("t/helper.mojo");
        assert_eq!(test_files(root.path(), one).unwrap(), [one]);
    }
}
