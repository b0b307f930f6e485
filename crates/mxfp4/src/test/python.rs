//! Python tests: pytest, whose JUnit file is counted.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use mxfp4_process::{Command, Outcome};

use super::report::{Again, Language, Report, Verdict};
use super::{Bench, Interrupted, say};

/// pytest's exit code for "no test was collected".
const NOTHING_COLLECTED: i32 = 5;

/// Runs pytest on the workspace's Python tests.
pub fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<Option<Interrupted>> {
    report.begin(Language::Python);
    let tests = &bench.context.workspace.config.tests;
    if tests.python.is_empty() {
        return Ok(None);
    }
    if bench.name.is_some_and(|name| !may_match(bench, name)) {
        return Ok(None);
    }
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
    let junit = scratch.path().join("junit.xml");
    let command = Command::new("python")
        .args(["-m", "pytest"])
        .args(tests.python.iter().map(AsRef::<Path>::as_ref));
    let filter = [Some(tests.python_filter.as_str()), bench.name]
        .into_iter()
        .flatten()
        .filter(|filter| !filter.is_empty())
        .collect::<Vec<_>>();
    let filtered = match filter.as_slice() {
        [] => command.clone(),
        [one] => command.clone().args(["-k", one]),
        many => command
            .clone()
            .arg("-k")
            .arg(format!("({})", many.join(") and ("))),
    };
    say(&format!(
        "\npython: {}",
        String::from_utf8_lossy(&filtered.dry_run())
    ));
    let Some(python) = &bench.sdk.python else {
        let reason = format!("{} has no python", bench.sdk.site.display());
        report.add(
            Language::Python,
            "pytest".to_owned(),
            Verdict::Failed(reason),
            &again(&command, "test"),
        );
        return Ok(None);
    };
    let outcome = bench
        .prepare(&filtered)
        .program(python)
        .arg("--junit-xml")
        .arg(&junit)
        .status()?;
    if outcome.interrupted.is_some() {
        return Ok(Some(Interrupted(outcome.code())));
    }
    let cases = match fs::read_to_string(&junit) {
        Ok(text) => parse(&text).context("cannot understand pytest's JUnit file")?,
        // It died before it could write one.
        Err(_) => Vec::new(),
    };
    let mut failures = 0;
    for case in cases {
        failures += usize::from(matches!(case.verdict, Verdict::Failed(_)));
        report.add(
            Language::Python,
            format!("{}::{}", case.class, case.name),
            case.verdict,
            &again(&command, &case.function),
        );
    }
    if failures == 0 && !ended_well(outcome, !filter.is_empty()) {
        let reason = match outcome.code() {
            NOTHING_COLLECTED => "there are no tests".to_owned(),
            _ => format!("{outcome}; its output is above"),
        };
        report.add(
            Language::Python,
            "pytest".to_owned(),
            Verdict::Failed(reason),
            &again(&command, bench.name.unwrap_or_default()),
        );
    }
    Ok(None)
}

/// Whether a Python test may have `name` in its name: collecting them only to find that none has takes pytest as long
/// as many tests take. Anything but a plain word may be made of parameters, which only pytest knows.
fn may_match(bench: &Bench, name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphabetic() || char == '_';
    if !name.chars().all(plain) {
        return true;
    }
    let word = name.to_ascii_lowercase();
    let root = &bench.context.workspace.root;
    let mut tests = bench.context.workspace.config.tests.python.iter();
    tests.any(|path| contains(&root.join(path), &word))
}

/// Whether the word is in the name or in the text of a file at or below `path`.
fn contains(path: &Path, word: &str) -> bool {
    if let Ok(entries) = fs::read_dir(path) {
        return entries.flatten().any(|entry| contains(&entry.path(), word));
    }
    let has = |text: &str| text.to_ascii_lowercase().contains(word);
    path.extension().is_some_and(|extension| extension == "py")
        && (has(&path.to_string_lossy()) || fs::read_to_string(path).is_ok_and(|text| has(&text)))
}

fn ended_well(outcome: Outcome, filtered: bool) -> bool {
    outcome.success() || (filtered && outcome.code() == NOTHING_COLLECTED)
}

fn again(command: &Command, name: &str) -> Again {
    let command = command.clone().args(["-k", name]);
    Again {
        name: name.to_owned(),
        direct: String::from_utf8_lossy(&command.dry_run()).into_owned(),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Case {
    class: String,
    name: String,
    /// The name without parameters, for `-k`.
    function: String,
    verdict: Verdict,
}

/// The test cases of a JUnit file.
fn parse(text: &str) -> Result<Vec<Case>, roxmltree::Error> {
    let document = roxmltree::Document::parse(text)?;
    let cases = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    Ok(cases
        .map(|case| {
            let name = case.attribute("name").unwrap_or("unnamed").to_owned();
            let function = name.split('[').next().unwrap_or(&name).to_owned();
            let child = |tags: &[&str]| {
                let mut children = case.children();
                let found = children.find(|node| tags.iter().any(|tag| node.has_tag_name(*tag)));
                found.map(|node| {
                    node.attribute("message")
                        .unwrap_or("no reason given")
                        .to_owned()
                })
            };
            let verdict = if let Some(message) = child(&["failure", "error"]) {
                Verdict::Failed(message)
            } else if let Some(message) = child(&["skipped"]) {
                let reason = message.strip_prefix("skipped: ").unwrap_or(&message);
                Verdict::Skipped(reason.to_owned())
            } else {
                Verdict::Passed
            };
            Case {
                class: case.attribute("classname").unwrap_or_default().to_owned(),
                name,
                function,
                verdict,
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_junit_file() {
        let text = r#"<?xml version="1.0" encoding="utf-8"?>
            <testsuites><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4">
            <testcase classname="tests.test_ops" name="test_a[32-x]" time="0.1"/>
            <testcase classname="tests.test_ops" name="test_b"><skipped type="pytest.skip"
                message="skipped: needs a Hopper GPU (sm_90)">path:1: why</skipped></testcase>
            <testcase classname="tests.test_ops" name="test_c"><system-out>x</system-out><failure
                message="assert 1 &lt; 0">trace</failure></testcase>
            <testcase classname="" name="tests.test_d"><error message="collection failure"/></testcase>
            </testsuite></testsuites>"#;
        let cases = parse(text).unwrap();
        let verdicts: Vec<_> = cases.iter().map(|case| case.verdict.clone()).collect();
        assert_eq!(
            verdicts,
            [
                Verdict::Passed,
                Verdict::Skipped("needs a Hopper GPU (sm_90)".to_owned()),
                Verdict::Failed("assert 1 < 0".to_owned()),
                Verdict::Failed("collection failure".to_owned()),
            ]
        );
        assert_eq!(cases[0].name, "test_a[32-x]");
        assert_eq!(cases[0].function, "test_a");
        assert!(parse("<testsuites><testcase").is_err());
    }
}
