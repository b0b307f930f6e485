//! Mojo tests: programs that print a line for each case, and files that must
//! compile.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use mxfp4_env::Layout;
use mxfp4_process::{Command, Line, Output, Stream};

use super::report::{Again, Language, Report, Verdict};
use super::{Bench, Interrupted, say};

/// What the GPU code is compiled for where there is no GPU.
const TARGET: &str = "sm_90a";
/// When a test program is taken to hang.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Runs the programs and compiles what is only to compile.
pub fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<Option<Interrupted>> {
    report.begin(Language::Mojo);
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    for path in &bench.context.workspace.config.tests.mojo {
        for file in test_files(&bench.context.workspace.root, path.as_ref())? {
            let program = Program::new(bench, file);
            if let Some(interrupted) = program.check(scratch.path(), report)? {
                return Ok(Some(interrupted));
            }
        }
    }
    Ok(None)
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

struct Program<'a> {
    bench: &'a Bench<'a>,
    /// Relative to the workspace's root.
    file: PathBuf,
    stem: String,
    source: String,
}

impl<'a> Program<'a> {
    fn new(bench: &'a Bench<'a>, file: PathBuf) -> Self {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            stem: stem.into_owned(),
            // What cannot be read fails when it is run.
            source: fs::read_to_string(bench.context.workspace.root.join(&file))
                .unwrap_or_default(),
            bench,
            file,
        }
    }

    /// Whether it is only to compile.
    fn only_compiles(&self) -> bool {
        self.stem.starts_with("compile_")
    }

    /// Whether it holds GPU code that no GPU here would have compiled.
    fn compiles_ahead(&self) -> bool {
        self.stem.starts_with("test_gpu_") && !self.bench.hopper
    }

    /// Whether all of its cases are wanted.
    fn is_wanted(&self) -> bool {
        self.bench.name.is_none_or(|name| self.stem.contains(name))
    }

    /// Whether the case is wanted.
    fn wants(&self, case: &str) -> bool {
        self.is_wanted() || self.bench.name.is_some_and(|name| case.contains(name))
    }

    /// Whether one of its cases may be wanted: their names are in the source.
    fn may_be_wanted(&self) -> bool {
        self.is_wanted()
            || self
                .bench
                .name
                .is_some_and(|name| self.source.contains(name))
    }

    fn check(&self, scratch: &Path, report: &mut Report) -> anyhow::Result<Option<Interrupted>> {
        if !self.may_be_wanted() {
            return Ok(None);
        }
        if !self.bench.context.workspace.root.join(&self.file).is_file() {
            let reason = "there is no such file; `tests.mojo` of mxfp4.toml names it".to_owned();
            let name = self.file.display().to_string();
            let again = self.again(&self.command());
            report.add(Language::Mojo, name, Verdict::Failed(reason), &again);
            return Ok(None);
        }
        say(&format!("\nmojo: {}", self.file.display()));
        if self.only_compiles() {
            self.compile(scratch, report)
        } else {
            self.run(report)
        }
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
        let tests = &self.bench.context.workspace.config.tests;
        let mut includes: Vec<PathBuf> = tests
            .mojo_includes
            .iter()
            .map(|path| path.as_ref().to_owned())
            .collect();
        if self.bench.context.workspace.layout == Layout::Standalone
            && let Some(folder) = self.file.parent()
            && !includes.iter().any(|include| include == folder)
        {
            includes.push(folder.to_owned());
        }
        includes
    }

    fn again(&self, command: &Command) -> Again {
        Again {
            name: self.stem.clone(),
            direct: String::from_utf8_lossy(&command.clone().arg(&self.file).dry_run())
                .into_owned(),
        }
    }

    fn run(&self, report: &mut Report) -> anyhow::Result<Option<Interrupted>> {
        let command = self.command();
        let again = self.again(&command);
        let (mut cases, mut failures) = (0, 0);
        let outcome = self
            .run_command(&command.arg(&self.file))
            .run(&mut |line| {
                pass_on(&line);
                let Some((case, verdict)) = parse(&line) else {
                    return;
                };
                cases += 1;
                failures += usize::from(matches!(verdict, Verdict::Failed(_)));
                if self.wants(&case) {
                    let name = format!("{}: {case}", self.stem);
                    report.add(Language::Mojo, name, verdict, &again);
                }
            })?;
        if outcome.interrupted.is_some() {
            return Ok(Some(Interrupted(outcome.code())));
        }
        if outcome.success() && self.compiles_ahead() {
            let case = self.compile_case();
            if self.wants(&case) {
                say(&format!("PASS {case}"));
                report.add(Language::Mojo, case, Verdict::Passed, &again);
            }
        }
        // Outside our own tests nobody is bound to our lines: the exit code counts.
        let silent = cases == 0 && self.bench.context.workspace.layout == Layout::Standalone;
        let verdict = if !outcome.success() && failures == 0 {
            Verdict::Failed(format!(
                "{outcome}, without a FAIL line; its output is above"
            ))
        } else if silent {
            Verdict::Failed("it printed no PASS, FAIL or SKIP line".to_owned())
        } else if cases == 0 {
            Verdict::Passed
        } else {
            return Ok(None);
        };
        report.add(Language::Mojo, self.stem.clone(), verdict, &again);
        Ok(None)
    }

    fn compile_case(&self) -> String {
        format!("compiles for {TARGET}: {}", self.file.display())
    }

    fn compile(&self, scratch: &Path, report: &mut Report) -> anyhow::Result<Option<Interrupted>> {
        let case = self.compile_case();
        let command = self.command();
        let to_nowhere = command.clone().args(["-o", "/dev/null"]);
        let again = self.again(&to_nowhere);
        let command = command.arg("-o").arg(scratch.join(&self.stem));
        let outcome = self
            .run_command(&command.arg(&self.file))
            .run(&mut |line| pass_on(&line))?;
        if outcome.interrupted.is_some() {
            return Ok(Some(Interrupted(outcome.code())));
        }
        let verdict = if outcome.success() {
            say(&format!("PASS {case}"));
            Verdict::Passed
        } else {
            say(&format!("FAIL {case}: {outcome}"));
            Verdict::Failed(format!("{outcome}; the compiler's output is above"))
        };
        report.add(Language::Mojo, case, verdict, &again);
        Ok(None)
    }

    fn run_command(&self, command: &Command) -> Command {
        self.bench
            .prepare(command)
            .program(self.bench.sdk.mojo())
            .timeout(TIMEOUT)
            .output(Output::Lines)
    }
}

fn pass_on(line: &Line) {
    match line.stream {
        Stream::Stdout => say(&line.text),
        Stream::Stderr => drop(writeln!(io::stderr(), "{}", line.text)),
    }
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
