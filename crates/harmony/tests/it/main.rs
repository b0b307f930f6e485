//! Tests against OpenAI's own renderer and parser, with the published vocabulary.

mod oracle;
mod text;
mod vocabulary;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    if let Some(code) = oracle::with_its_vocabulary() {
        return code;
    }
    let trials = vec![
        trial(
            "every_character_encodes_as_the_oracle_does",
            vocabulary::every_character,
        ),
        trial(
            "plain_text_encodes_as_the_oracle_does",
            vocabulary::plain_text,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that needs the published vocabulary and says so where there is none.
fn trial(name: &str, test: fn() -> Result<(), String>) -> Trial {
    Trial::ignorable_test(
        name,
        move || match mxfp4_harmony::testing::published_vocabulary() {
            Ok(_) => test().map(|()| Completion::Completed).map_err(Failed::from),
            Err(reason) => Ok(Completion::ignored_with(format!("skipped: {reason}"))),
        },
    )
}
