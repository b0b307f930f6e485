//! Results as JUnit XML.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use mxfp4_toolchain::visible::visible;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestRerun, TestSuite};

use crate::report::{Case, Language, Report, Verdict};

/// Writes the report as JUnit XML: a suite for each language.
pub fn write(report: &Report, time: Duration, path: &Path) -> anyhow::Result<()> {
    let text = text(report, time).context("cannot make JUnit XML of the report")?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn text(report: &Report, time: Duration) -> Result<String, quick_junit::SerializeError> {
    let mut junit = quick_junit::Report::new("mxfp4 test");
    junit.set_time(time);
    for language in [Language::Mojo, Language::Python] {
        let mut suite = TestSuite::new(language.to_string());
        let cases = report.cases().iter();
        for case in cases.filter(|case| case.language == language) {
            suite.add_test_case(test_case(case));
        }
        junit.add_test_suite(suite);
    }
    junit.to_string()
}

fn test_case(case: &Case) -> TestCase {
    let status = match &case.verdict {
        Verdict::Passed => TestCaseStatus::success(),
        Verdict::Flaky(reason) => {
            let mut status = TestCaseStatus::success();
            let mut first = TestRerun::new(NonSuccessKind::Failure);
            first.set_message(xml(reason));
            status.add_rerun(first);
            status
        }
        Verdict::Failed(reason) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(xml(reason.lines().next().unwrap_or_default()));
            // An attribute keeps no line breaks.
            status.set_description(xml(reason));
            status
        }
        Verdict::Skipped(reason) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(xml(reason));
            status
        }
    };
    // `file::test` and `program: case`, as those who read the file group them.
    let (class, name) = case
        .name
        .rsplit_once("::")
        .or_else(|| case.name.split_once(": "))
        .unwrap_or(("", &case.name));
    let mut element = TestCase::new(xml(name), status);
    element.set_classname(xml(class)).set_time(case.time);
    if !case.output.is_empty() {
        element.set_system_out(xml(&case.output));
    }
    element
}

/// `text` in the characters that XML 1.0 has: without its colors, what a terminal would obey as its picture, and what is
/// no character as a replacement for one.
fn xml(text: &str) -> String {
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .map(|line| {
            let line = without_colors(line);
            // quick-junit would leave a tab out.
            visible(&line)
                .replace('\t', "    ")
                .replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
        })
        .collect();
    lines.join("\n")
}

/// `line` without the codes for colors. quick-junit takes more for a code: the rest of the text after half of one.
fn without_colors(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|char: char| char.is_ascii_digit() || char == ';');
        match rest.strip_prefix('m') {
            Some(rest) => plain += rest,
            None => plain.extend(["\u{1b}[", part]),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_file_is_xml_whatever_was_printed() {
        let text = text(&report(), Duration::from_secs(1)).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let suites: Vec<_> = document
            .descendants()
            .filter(|node| node.has_tag_name("testsuite"))
            .collect();
        let of = |name: &str| suites[0].attribute(name).unwrap().to_owned();
        assert_eq!(suites.len(), 2);
        assert_eq!((of("name"), of("tests")), ("mojo".into(), "5".into()));
        assert_eq!((of("failures"), of("skipped")), ("1".into(), "2".into()));
        let failure = document
            .descendants()
            .find(|node| node.has_tag_name("failure"));
        let failure = failure.unwrap();
        assert_eq!(failure.attribute("message"), Some("1 != 2"));
        assert_eq!(failure.text(), Some("1 != 2\nof 3"));
    }

    /// The document of a test that fails with this name, reason and output.
    fn document_of(text: &str) -> String {
        let mut report = report();
        let mut case = report.cases()[0].clone();
        case.name = text.to_owned();
        case.verdict = Verdict::Failed(text.to_owned());
        case.output = text.to_owned();
        report.add(case);
        super::text(&report, Duration::ZERO).unwrap()
    }

    #[test]
    fn what_is_no_character_of_xml_is_replaced() {
        let text = "a\u{ffff}b\u{fffe}c\td\r\n\u{1b}[1;31mred\u{1b}[0m \u{0}\u{1b}]0;title\u{7f}\u{85}]]>&<\u{d7ff}\u{e000}\u{10ffff}";
        let document = document_of(text);
        let document = roxmltree::Document::parse(&document).unwrap();
        let text_of = |tag: &str| {
            let mut nodes = document.descendants().filter(|node| node.has_tag_name(tag));
            nodes.next_back().unwrap().text()
        };
        let expected = Some(
            "a\u{fffd}b\u{fffd}c    d\nred \u{2400}\u{241b}]0;title\u{2421}\u{fffd}]]>&<\u{d7ff}\u{e000}\u{10ffff}",
        );
        assert_eq!(text_of("failure"), expected);
        assert_eq!(text_of("system-out"), expected);
    }

    #[test]
    fn every_character_leaves_it_xml() {
        let all: String = ('\0'..=char::MAX).collect();
        let document = document_of(&all);
        // Neither parser of the tests knows all of the standard: this is its rule.
        let is_xml =
            |char: char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
        assert_eq!(document.chars().find(|&char| !is_xml(char)), None);
        roxmltree::Document::parse(&document).unwrap();
    }
}
