//! docs/reference/max-settings.md has a row for every flag of MAX's `serve` and every variable that its serving code
//! reads. A MAX that has another one fails here.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use libtest_mimic::{Completion, Failed, Trial};
use serde::Deserialize;

use crate::support::{repository, run, sdk, trial};

/// What max_settings.py prints of MAX.
#[derive(Deserialize)]
struct Max {
    flags: BTreeSet<String>,
    settings: BTreeSet<String>,
    variables: BTreeSet<String>,
    /// Every word of the sources that could name a variable.
    words: BTreeSet<String>,
}

/// The tests.
pub fn trials() -> Vec<Trial> {
    let trial = trial::ignorable(
        module_path!(),
        "max_has_no_setting_that_the_table_lacks",
        || match sdk() {
            Err(why) => Ok(Completion::ignored_with(why)),
            Ok(sdk) => {
                let script = repository().join("crates/mxfp4/tests/it/max_settings.py");
                let ran = run(Command::new(sdk.join("bin/python")).arg(script));
                let last = ran.stdout.lines().last().unwrap_or_default();
                let max: Max = serde_json::from_str(last)
                    .map_err(|error| Failed::from(format!("{error}: {ran:?}")))?;
                compare(&max)?;
                Ok(Completion::Completed)
            }
        },
    );
    vec![trial]
}

fn compare(max: &Max) -> Result<(), Failed> {
    let page = repository().join("docs/reference/max-settings.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let rows: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| {
            let row = line.strip_prefix("| `").or(line.strip_prefix("- `"))?;
            Some(row.split_once('`')?.0)
        })
        .collect();
    let mut wrong = Vec::new();
    for flag in &max.flags {
        // `--model-path` stands in the row of `--model`.
        if !page.contains(&format!("`--{flag}`")) {
            wrong.push(format!("MAX has --{flag}, which the table lacks"));
        }
    }
    for name in max.settings.union(&max.variables) {
        if !rows.contains(name.as_str()) {
            wrong.push(format!("MAX reads {name}, which the table lacks"));
        }
    }
    for row in rows {
        let known = match row.strip_prefix("--") {
            Some(flag) => max.flags.contains(flag),
            None => max.words.contains(row) || max.settings.contains(row),
        };
        if !known {
            wrong.push(format!("MAX has no {row}, which stands in the table"));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.push("the table is crates/launch/src/migration".into());
    Err(wrong.join("\n").into())
}
