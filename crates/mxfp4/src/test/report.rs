use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It held.
    Passed,
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

/// Everything that was run.
#[derive(Debug, Default)]
pub struct Report {
    counts: BTreeMap<Language, Counts>,
    failures: Vec<Failure>,
    skips: BTreeMap<String, usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

#[derive(Debug)]
struct Failure {
    language: Language,
    name: String,
    reason: String,
    again: Again,
}

/// How to run a failed test again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// What to give to `mxfp4 test`.
    pub name: String,
    /// The command behind it, for a shell in the workspace's root that has its
    /// environment.
    pub direct: String,
}

impl Report {
    /// Counts a language that has no test yet.
    pub fn begin(&mut self, language: Language) {
        self.counts.entry(language).or_default();
    }

    /// Counts a test.
    pub fn add(&mut self, language: Language, name: String, verdict: Verdict, again: &Again) {
        let counts = self.counts.entry(language).or_default();
        match verdict {
            Verdict::Passed => counts.passed += 1,
            Verdict::Failed(reason) => {
                counts.failed += 1;
                self.failures.push(Failure {
                    language,
                    name,
                    reason,
                    again: again.clone(),
                });
            }
            Verdict::Skipped(reason) => {
                counts.skipped += 1;
                *self.skips.entry(reason).or_default() += 1;
            }
        }
    }

    /// Whether a test failed.
    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// How many tests were counted.
    pub fn total(&self) -> usize {
        let all = self.sum();
        all.passed + all.failed + all.skipped
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

    /// What was skipped and why, what failed and how to run it again, and the
    /// counts; these alone on the last line.
    pub fn summary(&self, time: Duration) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, time);
        text
    }

    fn write(&self, text: &mut String, time: Duration) -> std::fmt::Result {
        if !self.skips.is_empty() {
            writeln!(text, "\nskipped:")?;
            for (reason, count) in &self.skips {
                writeln!(text, "  {count:>4}  {reason}")?;
            }
        }
        if !self.failures.is_empty() {
            let program = std::env::args_os().next().unwrap_or_else(|| "mxfp4".into());
            let program = quoted(&program.to_string_lossy());
            writeln!(text, "\nfailed:")?;
            for failure in &self.failures {
                let Failure { language, name, .. } = failure;
                writeln!(text, "  {language}: {name}")?;
                for line in failure.reason.lines() {
                    writeln!(text, "      {line}")?;
                }
                writeln!(
                    text,
                    "    again:    {program} test {}",
                    quoted(&failure.again.name)
                )?;
                writeln!(text, "    directly: {}", failure.again.direct)?;
            }
            writeln!(
                text,
                "  (`again` in this folder; `directly` in the workspace's root after \
                 eval \"$({program} env)\")"
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
mod tests {
    use super::*;

    fn report() -> Report {
        let again = Again {
            name: "test format".to_owned(),
            direct: "mojo run kernels/test/x.mojo".to_owned(),
        };
        let mut report = Report::default();
        report.begin(Language::Python);
        for (name, verdict) in [
            ("a", Verdict::Passed),
            ("b", Verdict::Skipped("needs a GPU".to_owned())),
            ("c", Verdict::Skipped("needs a GPU".to_owned())),
            ("d", Verdict::Failed("1 != 2\nof 3".to_owned())),
        ] {
            report.add(Language::Mojo, name.to_owned(), verdict, &again);
        }
        report
    }

    #[test]
    fn the_summary_says_what_failed_why_and_how_to_repeat_it() {
        let summary = report().summary(Duration::from_millis(1250));
        for part in [
            "\nskipped:\n     2  needs a GPU\n",
            "  mojo: d\n      1 != 2\n      of 3\n",
            " test 'test format'\n    directly: mojo run kernels/test/x.mojo\n",
            "\nmojo: 1 passed, 1 failed, 2 skipped\npython: 0 passed, 0 failed, 0 skipped\n\
             mxfp4 test: 1 passed, 1 failed, 2 skipped in 1.2 s\n1 passed, 1 failed, 2 skipped",
        ] {
            assert!(summary.contains(part), "{part:?} is not in\n{summary}");
        }
        assert!(summary.ends_with("\n1 passed, 1 failed, 2 skipped"));
        assert_eq!(report().total(), 4);
        assert!(report().has_failures());
    }

    #[test]
    fn what_did_not_happen_has_no_heading() {
        let summary = Report::default().summary(Duration::ZERO);
        assert!(
            !summary.contains("failed:") && !summary.contains("skipped:"),
            "{summary}"
        );
    }
}
