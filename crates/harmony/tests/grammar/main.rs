//! Tags before xgrammar itself, as MAX has it: whatever they allow leads to an answer that is
//! what was asked for.

mod inputs;
mod known;
mod schemas;
mod walker;
mod walks;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use walker::{Walker, Walkers};

type Test = fn(&Walker) -> Result<(), String>;

fn main() -> ExitCode {
    let tests: [(&str, Test); 9] = [
        ("an_answer_of_any_schema_comes_to_its_end", walks::answers),
        ("calls_of_any_functions_come_to_their_end", walks::calls),
        ("what_is_taken_compiles_and_is_enforced", walks::wild),
        ("raw_texts_come_to_their_end", walks::texts),
        ("what_is_refused_xgrammar_cannot_enforce", known::refused),
        (
            "other_answers_than_those_asked_for_are_refused",
            known::answers,
        ),
        (
            "inputs_are_what_their_regular_expressions_match",
            inputs::regexes,
        ),
        ("inputs_are_what_their_grammars_derive", inputs::grammars),
        ("other_calls_than_those_asked_for_are_refused", known::calls),
    ];
    let walkers = Arc::new(Walkers::default());
    let trials = tests.map(|(name, test)| {
        let walkers = Arc::clone(&walkers);
        Trial::ignorable_test(name, move || match walkers.lend(test) {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => match error.strip_prefix("skipped: ") {
                Some(reason) => Ok(Completion::ignored_with(reason)),
                None => Err(Failed::from(error)),
            },
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}
