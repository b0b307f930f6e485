//! Inputs that public reports name: each file of `cases/api` beside the published files
//! is one test, with the published vocabulary.

#[path = "../it/client.rs"]
#[allow(dead_code)]
mod client;
mod expected;
mod run;

use std::path::PathBuf;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let folder = match folder() {
        Ok(folder) => folder,
        Err(reason) => {
            let skipped = Completion::ignored_with(reason);
            return vec![Trial::ignorable_test("cases", || Ok(skipped))];
        }
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    files.into_iter().map(trial).collect()
}

/// The folder with the cases, or why there is none.
fn folder() -> Result<PathBuf, String> {
    let published = mxfp4_harmony::testing::published().ok_or("MXFP4_PUBLISHED is not set")?;
    Ok(published.join("../cases/api"))
}

fn trial(file: PathBuf) -> Trial {
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    Trial::test(name.clone(), move || {
        let text =
            std::fs::read_to_string(&file).map_err(|error| Failed::from(error.to_string()))?;
        let case = serde_json::from_str(&text)?;
        run::run(&name, &case);
        Ok(())
    })
}
