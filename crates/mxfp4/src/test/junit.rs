use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::report::{Case, Language, Report, Verdict};

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
            first.set_message(reason.as_str());
            status.add_rerun(first);
            status
        }
        Verdict::Failed(reason) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(reason.lines().next().unwrap_or_default());
            // An attribute keeps no line breaks.
            status.set_description(reason.as_str());
            status
        }
        Verdict::Skipped(reason) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
    };
    // `file::test` and `program: case`, as those who read the file group them.
    let (class, name) = case
        .name
        .rsplit_once("::")
        .or_else(|| case.name.split_once(": "))
        .unwrap_or(("", &case.name));
    let mut xml = TestCase::new(name, status);
    xml.set_classname(class).set_time(case.time);
    if !case.output.is_empty() {
        xml.set_system_out(case.output.as_str());
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::report::tests::report;

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
}
