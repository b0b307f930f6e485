//! The README says what the program and the configuration say.

use std::path::Path;
use std::process::Command;

fn read(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn every_key_stands_in_the_readme_as_in_the_reference() {
    let (readme, reference) = (read("README.md"), read("docs/reference/configuration.md"));
    let (keys, _) = reference.split_once("In a Modular checkout").unwrap();
    let rows: Vec<&str> = keys
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert!(rows.len() > 20, "{rows:#?}");
    for row in rows {
        assert!(
            readme.contains(row),
            "the README lacks this row of docs/reference/configuration.md:\n{row}"
        );
    }
}

#[test]
fn every_command_and_every_exit_code_stands_in_the_readme() {
    let readme = read("README.md");
    let help = Command::new(env!("CARGO_BIN_EXE_mxfp4"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let section = |title: &'static str| {
        let lines = help.lines().skip_while(move |line| *line != title);
        lines.skip(1).take_while(|line| !line.is_empty())
    };
    let commands: Vec<&str> = section("Commands:")
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"serve"), "{help}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(readme.contains(&format!("| `mxfp4 {command}")), "{command}");
    }
    let codes: Vec<_> = section("Exit codes:")
        .filter_map(|line| line.trim().split_once("  "))
        .collect();
    assert!(codes.len() > 5, "{help}");
    for (code, meaning) in codes {
        let row = format!("| {code} | {} |", meaning.trim());
        assert!(readme.replace('`', "").contains(&row), "{row}");
    }
}

#[test]
fn every_row_of_the_doctor_stands_in_its_reference() {
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
