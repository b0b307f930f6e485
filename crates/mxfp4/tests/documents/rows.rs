//! Tables of the reference have a row for all that the program knows.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::{read, repository};

/// Every key of the configuration's table has its default; `crates/env` compares them with the program.
pub fn every_key_stands_in_the_reference() {
    let reference = read("docs/reference/configuration.md");
    let (keys, _) = reference.split_once("## In a Modular checkout").unwrap();
    let rows: Vec<&str> = keys
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert!(rows.len() > 20, "{rows:#?}");
    let kept = read("mxfp4.toml");
    for line in kept.lines().filter(|line| line.contains(" = ")) {
        let (key, value) = line.split_once(" = ").unwrap();
        let says = |row: &&&str| row.contains(&format!(".{key}`")) && row.contains(value);
        // Lists are written in one line in both.
        assert!(rows.iter().find(says).is_some(), "no row says {line}");
    }
}

/// Variables of `mxfp4` itself that the program, its crates and Python modules name.
pub fn every_variable_stands_in_the_reference() {
    let mut named = BTreeSet::new();
    for folder in ["crates", "python/mxfp4"] {
        variables(&repository().join(folder), &mut named);
    }
    assert!(named.contains("MXFP4_ROOT"), "{named:?}");
    // The end of a value for GitHub Actions, which is no variable.
    named.remove("MXFP4_END");
    // What a test tells a program that it starts.
    named.retain(|name| !name.starts_with("MXFP4_TEST_"));
    // What only tests read stands where tests are explained.
    let reference = read("docs/reference/variables.md") + &read("CONTRIBUTING.md");
    let missing: Vec<&String> = named
        .iter()
        .filter(|name| !reference.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/reference/variables.md lacks {missing:?}"
    );
}

/// Adds the names that stand in quotes in sources below `folder`, but for those of test programs.
fn variables(folder: &Path, named: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "tests" && name != "examples" {
            variables(&path, named);
        }
        if !["rs", "py"]
            .map(Some)
            .contains(&path.extension().and_then(|ending| ending.to_str()))
        {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let quoted = source.split('"').filter(|text| text.starts_with("MXFP4_"));
        let is_name = |text: &&str| {
            text.bytes()
                .all(|b| b == b'_' || b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        named.extend(quoted.filter(is_name).map(str::to_owned));
    }
}

pub fn every_row_of_the_doctor_stands_in_its_reference() {
    let reference = read("docs/reference/doctor.md");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mxfp4.toml"), "").unwrap();
    let report = Command::new(env!("CARGO_BIN_EXE_mxfp4"))
        .args(["doctor", "--json", "--root"])
        .arg(folder.path())
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let told = report["checks"].as_array().unwrap().iter().map(|row| {
        let needed_by = row["needed_by"].as_array().unwrap().iter();
        let jobs: Vec<&str> = needed_by.map(|job| job.as_str().unwrap()).collect();
        (row["id"].as_str().unwrap(), jobs.join(", "))
    });
    let mut lines = reference.lines();
    for (id, jobs) in told {
        let row = lines.find(|line| line.starts_with(&format!("| `{id}` |")));
        let row = row.unwrap_or_else(|| panic!("no row {id}, or not in its place"));
        let last = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        let jobs = if jobs.is_empty() { "-" } else { &jobs };
        assert!(last.starts_with(jobs), "{row} instead of {jobs}");
    }
}
