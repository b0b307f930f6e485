//! The documents say what the program says, their links lead somewhere, and their pictures are of the recorded runs.

mod commands;
mod links;
mod pictures;
mod report;
mod rows;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The variable with which these tests write what they compare.
const RENEW: &str = "MXFP4_RENEW_DOCS";

fn main() -> ExitCode {
    type Test = fn();
    let tests: [(&str, Test); 9] = [
        (
            "every_command_stands_in_the_reference",
            commands::every_command_stands_in_the_reference,
        ),
        (
            "every_exit_code_stands_in_the_reference",
            commands::every_exit_code_stands_in_the_reference,
        ),
        (
            "every_link_leads_somewhere",
            links::every_link_leads_somewhere,
        ),
        (
            "every_page_is_in_the_book",
            links::every_page_is_in_the_book,
        ),
        (
            "every_guide_begins_with_a_command",
            links::every_guide_begins_with_a_command,
        ),
        (
            "pictures_are_of_the_recorded_runs",
            pictures::pictures_are_of_the_recorded_runs,
        ),
        (
            "every_key_stands_in_the_reference",
            rows::every_key_stands_in_the_reference,
        ),
        (
            "every_variable_stands_in_the_reference",
            rows::every_variable_stands_in_the_reference,
        ),
        (
            "every_row_of_the_doctor_stands_in_its_reference",
            rows::every_row_of_the_doctor_stands_in_its_reference,
        ),
    ];
    let mut trials: Vec<Trial> = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                test();
                Ok(())
            })
        })
        .collect();
    trials.push(Trial::ignorable_test("the_book_is_built", the_book));
    trials.push(Trial::ignorable_test(
        "reports_work_in_a_browser",
        report::reports_work_in_a_browser,
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// mdBook makes a site of the documents, without a warning.
fn the_book() -> Result<Completion, Failed> {
    let site = tempfile::tempdir().expect("a folder");
    let built = Command::new("mdbook")
        .arg("build")
        .arg(repository().join("docs"))
        .arg("--dest-dir")
        .arg(site.path())
        .output();
    let built = match built {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Completion::ignored_with("there is no mdbook on PATH"));
        }
        built => built.expect("mdbook starts"),
    };
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    assert!(
        !said.contains("[WARN]") && !said.contains("[ERROR]"),
        "{said}"
    );
    for page in ["index.html", "guides/serving.html", "reference/api.html"] {
        assert!(
            site.path().join(page).is_file(),
            "{page} is not in the site"
        );
    }
    Ok(Completion::Completed)
}

/// The repository's root.
fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

/// A file of the repository.
fn read(file: &str) -> String {
    let path = repository().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What the program prints, whatever the environment of this machine.
fn printed(args: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_mxfp4"))
        .args(args)
        .env_clear()
        .output()
        .expect("the program starts");
    assert!(ran.status.success(), "{args:?}: {ran:?}");
    String::from_utf8(ran.stdout).expect("text")
}
