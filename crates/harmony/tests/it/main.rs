//! Tests against OpenAI's own renderer and parser, with the published vocabulary.

mod cases;
mod chat;
mod oracle;
mod output;
mod property;
mod read;
mod reading;
mod render;
mod schema;
mod text;
mod vocabulary;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    if let Some(code) = oracle::with_its_vocabulary() {
        return code;
    }
    let trials = vec![
        trial("case_01_message_sent_back", cases::message_sent_back),
        trial(
            "case_02_reasoning_between_calls",
            cases::reasoning_between_calls,
        ),
        trial(
            "case_03_tool_without_description",
            cases::tool_without_description,
        ),
        trial("case_05_special_tokens_typed", cases::special_tokens_typed),
        trial("case_06_later_system_message", cases::later_system_message),
        trial(
            "case_08_channel_tags_in_history",
            cases::channel_tags_in_history,
        ),
        trial("case_09_two_calls_in_history", cases::two_calls_in_history),
        trial("case_10_tool_result_quoted", cases::tool_result_quoted),
        trial("case_11_unknown_effort", cases::unknown_effort),
        trial(
            "case_20_constrain_without_space",
            cases::constrain_without_space,
        ),
        trial("case_21_name_of_many_tokens", cases::name_of_many_tokens),
        trial("case_22_reasoning_only", cases::reasoning_only),
        trial(
            "case_23_stop_word_in_analysis",
            cases::stop_word_in_analysis,
        ),
        trial(
            "case_24_stop_word_in_a_stream",
            cases::stop_word_in_a_stream,
        ),
        trial("case_25_no_arguments", cases::no_arguments),
        trial(
            "case_27_dashes_before_channel",
            cases::dashes_before_channel,
        ),
        trial("case_28_no_start_and_channel", cases::no_start_and_channel),
        trial("case_30_content_type", cases::content_type),
        trial("case_32_other_role", cases::other_role),
        trial(
            "case_33_raw_newline_in_arguments",
            cases::raw_newline_in_arguments,
        ),
        trial(
            "every_character_encodes_as_the_oracle_does",
            vocabulary::every_character,
        ),
        trial(
            "plain_text_encodes_as_the_oracle_does",
            vocabulary::plain_text,
        ),
        trial(
            "the_wheel_has_the_published_vocabulary",
            vocabulary::of_the_wheel,
        ),
        trial(
            "conversations_render_as_by_the_oracle",
            render::conversations,
        ),
        trial(
            "what_is_no_schema_renders_all_the_same",
            render::what_is_no_schema,
        ),
        trial("answers_read_as_by_the_oracle", read::well_formed),
        trial("malformed_answers_lose_nothing", read::malformed),
        trial("any_tokens_can_be_read", read::any_tokens),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that needs the published vocabulary. Where that or something else is missing, it is
/// skipped and says why.
fn trial(name: &str, test: fn() -> Result<(), String>) -> Trial {
    Trial::ignorable_test(name, move || {
        let skipped = |reason: &str| Ok(Completion::ignored_with(format!("skipped: {reason}")));
        if let Err(reason) = mxfp4_harmony::testing::published_vocabulary() {
            return skipped(&reason);
        }
        match test() {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => match error.strip_prefix("skipped: ") {
                Some(reason) => skipped(reason),
                None => Err(Failed::from(error)),
            },
        }
    })
}
