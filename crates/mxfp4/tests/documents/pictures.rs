//! Reports below docs/benchmarks are what the program makes of the recorded runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{RENEW, repository};

/// What measured, and the name of its recorded run and of its report.
pub const RUNS: [(&str, &str); 3] = [
    ("kernel", "kernel-h100"),
    ("serve", "serve-h200"),
    ("serve", "serve-h200-front-end"),
];

pub fn pictures_are_of_the_recorded_runs() {
    let benchmarks = repository().join("docs/benchmarks");
    for (what, name) in RUNS {
        let fresh = tempfile::tempdir().expect("a folder");
        let kept = benchmarks.join(name);
        let into = match std::env::var_os(RENEW) {
            Some(_) => kept.as_path(),
            None => fresh.path(),
        };
        let ran = Command::new(env!("CARGO_BIN_EXE_mxfp4"))
            .args(["bench", what, "--from"])
            .arg(benchmarks.join(format!("{name}.json")))
            .arg("--report")
            .arg(into)
            .current_dir(repository())
            .output()
            .expect("the program starts");
        assert!(ran.status.success(), "{ran:?}");
        assert!(
            files(into) == files(&kept),
            "docs/benchmarks/{name} is not what the program makes of {name}.json; renew it: {RENEW}=1 cargo test -p mxfp4 \
             --test documents"
        );
    }
}

/// Names and contents of the files of a folder.
fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<(String, String)> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let content = fs::read_to_string(entry.path()).expect("text");
            (entry.file_name().to_string_lossy().into_owned(), content)
        })
        .collect();
    files.sort();
    files
}
