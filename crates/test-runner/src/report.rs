use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::filter::Filter;

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It held.
    Passed,
    /// It held when it was tried again; first it had failed for this reason.
    Flaky(String),
    /// It did not, for this reason.
    Failed(String),
    /// It was not run, for this reason.
    Skipped(String),
}

/// The languages that tests are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// Programs in `kernels/test`.
    Mojo,
    /// pytest.
    Python,
}

/// One test that was run.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is written in.
    pub language: Language,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took.
    pub time: Duration,
    /// How many times it was run.
    pub tries: u32,
    /// What it printed, where that is known and it failed.
    pub output: String,
    /// How to run it again.
    pub again: Again,
}

/// How to run a failed test again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// What to give to `mxfp4 test`: part of a name, or a regular expression.
    pub arguments: Vec<String>,
    /// The command behind it, for a shell in the workspace's root that has its
    /// environment.
    pub direct: String,
    /// What to do in an editor to debug it.
    pub debug: Option<String>,
}

/// Everything that was run.
#[derive(Debug, Default)]
pub struct Report {
    counts: BTreeMap<Language, Counts>,
    cases: Vec<Case>,
    /// A Python module that was asked for by name and skipped as a whole, and why.
    missed: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Verdict {
    /// One word for a program.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Flaky(_) => "flaky",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Why, unless it simply held.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Flaky(reason) | Self::Failed(reason) | Self::Skipped(reason) => Some(reason),
        }
    }
}

impl Case {
    /// The case for a program.
    pub fn to_json(&self) -> Value {
        json!({
            "reason": "test-finished",
            "language": self.language.to_string(),
            "name": self.name,
            "outcome": self.verdict.name(),
            "message": self.verdict.reason(),
            "seconds": self.time.as_secs_f64(),
            "tries": self.tries,
            "output": self.output,
            "again": self.again.command(),
        })
    }
}

impl Again {
    /// The command line that runs it again.
    pub fn command(&self) -> String {
        let words = ["test"]
            .into_iter()
            .chain(self.arguments.iter().map(String::as_str));
        words.fold(program(), |line, word| format!("{line} {}", quoted(word)))
    }
}

impl Report {
    /// Counts a language that has no test yet.
    pub fn begin(&mut self, language: Language) {
        self.counts.entry(language).or_default();
    }

    /// Counts a test.
    pub fn add(&mut self, case: Case) {
        let counts = self.counts.entry(case.language).or_default();
        match case.verdict {
            Verdict::Passed | Verdict::Flaky(_) => counts.passed += 1,
            Verdict::Failed(_) => counts.failed += 1,
            Verdict::Skipped(_) => counts.skipped += 1,
        }
        self.cases.push(case);
    }

    /// Takes note of a module that was asked for and skipped as a whole.
    pub fn miss(&mut self, module: &str, reason: &str) {
        let reason = reason.strip_prefix("skipped: ").unwrap_or(reason);
        self.missed = Some((module.to_owned(), reason.to_owned()));
    }

    /// The tests in the order in which they ended.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// Whether a test failed.
    pub fn has_failures(&self) -> bool {
        self.sum().failed > 0
    }

    /// What tests were asked for by `filter`, or because they need a GPU, and were not tried. To skip them is no success.
    pub fn missed(&self, filter: &Filter, gpu: bool) -> Option<String> {
        if let Some((module, reason)) = &self.missed {
            return Some(format!(
                "{module} was asked for, and skipped as a whole: {reason}"
            ));
        }
        let by_name = !matches!(filter, Filter::All);
        let is_skipped = |case: &&Case| matches!(case.verdict, Verdict::Skipped(_));
        let mut skipped = self.cases.iter().filter(is_skipped);
        let reason = skipped.next()?.verdict.reason().unwrap_or_default();
        let nothing_else = skipped.count() + 1 == self.total();
        ((by_name || gpu) && nothing_else).then(|| {
            format!("each test that was asked for was skipped, so that nothing was tried: {reason}")
        })
    }

    /// How many tests were counted.
    pub fn total(&self) -> usize {
        self.cases.len()
    }

    /// The counts in words: `1 passed, 0 failed, 2 skipped`.
    pub fn counts(&self) -> String {
        self.sum().to_string()
    }

    fn sum(&self) -> Counts {
        self.counts
            .values()
            .fold(Counts::default(), |sum, counts| Counts {
                passed: sum.passed + counts.passed,
                failed: sum.failed + counts.failed,
                skipped: sum.skipped + counts.skipped,
            })
    }

    /// The counts for a program.
    pub fn to_json(&self, time: Duration) -> Value {
        let sum = self.sum();
        let is_flaky = |case: &&Case| matches!(case.verdict, Verdict::Flaky(_));
        json!({
            "reason": "tests-finished",
            "passed": sum.passed,
            "failed": sum.failed,
            "skipped": sum.skipped,
            "flaky": self.cases.iter().filter(is_flaky).count(),
            "seconds": time.as_secs_f64(),
        })
    }

    /// What was skipped and why, what failed and how to run it again, and the
    /// counts; these alone on the last line.
    pub fn summary(&self, time: Duration) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, time);
        text
    }

    fn write(&self, text: &mut String, time: Duration) -> std::fmt::Result {
        let mut skips: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut flaky, mut failed) = (Vec::new(), Vec::new());
        for case in &self.cases {
            match &case.verdict {
                Verdict::Passed => {}
                Verdict::Skipped(reason) => *skips.entry(reason).or_default() += 1,
                Verdict::Flaky(reason) => flaky.push((case, reason)),
                Verdict::Failed(reason) => failed.push((case, reason)),
            }
        }
        if !skips.is_empty() {
            writeln!(text, "\nskipped:")?;
            for (reason, count) in skips {
                writeln!(text, "  {count:>4}  {reason}")?;
            }
        }
        if !flaky.is_empty() {
            writeln!(text, "\nflaky:")?;
            for (case, reason) in flaky {
                let Case { language, name, .. } = case;
                writeln!(text, "  {language}: {name} (passed on try {})", case.tries)?;
                write_indented(text, reason)?;
            }
        }
        if !failed.is_empty() {
            writeln!(text, "\nfailed:")?;
            for (case, reason) in failed {
                let Case {
                    language,
                    name,
                    again,
                    ..
                } = case;
                writeln!(text, "  {language}: {name}")?;
                write_indented(text, reason)?;
                writeln!(text, "    again:    {}", again.command())?;
                writeln!(text, "    directly: {}", again.direct)?;
                if let Some(debug) = &again.debug {
                    writeln!(text, "    debug:    {debug}")?;
                }
            }
            writeln!(
                text,
                "  (`again` in this folder; `directly` in the workspace's root after\n   \
                 eval \"$({} env)\")",
                program()
            )?;
        }
        writeln!(text)?;
        for (language, counts) in &self.counts {
            writeln!(text, "{language}: {counts}")?;
        }
        let sum = self.sum();
        writeln!(text, "mxfp4 test: {sum} in {:.1} s", time.as_secs_f64())?;
        write!(text, "{sum}")
    }
}

fn write_indented(text: &mut String, reason: &str) -> std::fmt::Result {
    for line in reason.lines() {
        writeln!(text, "      {line}")?;
    }
    Ok(())
}

/// This program as it was called.
fn program() -> String {
    let program = std::env::args_os().next().unwrap_or_else(|| "mxfp4".into());
    quoted(&program.to_string_lossy())
}

/// `text` as one word of a shell.
pub fn quoted(text: &str) -> String {
    String::from_utf8_lossy(&mxfp4_env::render::posix_quote(text.as_ref())).into_owned()
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mojo => "mojo",
            Self::Python => "python",
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// One of each.
    pub fn report() -> Report {
        let mut report = Report::default();
        report.begin(Language::Python);
        for (name, verdict) in [
            ("a", Verdict::Passed),
            ("b", Verdict::Skipped("needs a GPU".to_owned())),
            ("c", Verdict::Skipped("needs a GPU".to_owned())),
            ("d", Verdict::Failed("1 != 2\nof 3".to_owned())),
            ("e", Verdict::Flaky("slow".to_owned())),
        ] {
            report.add(Case {
                language: Language::Mojo,
                name: name.to_owned(),
                verdict,
                time: Duration::from_millis(1500),
                tries: 2,
                output: "\u{1b}[31mred\u{0}".to_owned(),
                again: Again {
                    arguments: vec!["test format".to_owned()],
                    direct: "mojo run kernels/test/x.mojo".to_owned(),
                    debug: Some("in VS Code".to_owned()),
                },
            });
        }
        report
    }

    #[test]
    fn the_summary_says_what_failed_why_and_how_to_repeat_it() {
        let summary = report().summary(Duration::from_millis(1250));
        for part in [
            "\nskipped:\n     2  needs a GPU\n",
            "\nflaky:\n  mojo: e (passed on try 2)\n      slow\n",
            "  mojo: d\n      1 != 2\n      of 3\n",
            " test 'test format'\n    directly: mojo run kernels/test/x.mojo\n    debug:    in VS Code\n",
            "\nmojo: 2 passed, 1 failed, 2 skipped\npython: 0 passed, 0 failed, 0 skipped\n\
             mxfp4 test: 2 passed, 1 failed, 2 skipped in 1.2 s\n2 passed, 1 failed, 2 skipped",
        ] {
            assert!(summary.contains(part), "{part:?} is not in\n{summary}");
        }
        assert!(summary.ends_with("\n2 passed, 1 failed, 2 skipped"));
        assert_eq!(report().total(), 5);
        assert!(report().has_failures());
        let json = report().to_json(Duration::ZERO);
        assert_eq!((&json["passed"], &json["flaky"]), (&2.into(), &1.into()));
    }

    #[test]
    fn what_did_not_happen_has_no_heading() {
        let summary = Report::default().summary(Duration::ZERO);
        for heading in ["failed:", "skipped:", "flaky:"] {
            assert!(!summary.contains(heading), "{summary}");
        }
    }
}
