//! What public reports name: each file of `cases/api` that concerns the format.

use mxfp4_harmony::testing::published;
use mxfp4_harmony::{Call, End, Part};
use serde_json::Value;

use crate::chat::conversation;
use crate::reading::{Answer, harmony, read};

/// A case, or why it is not here.
fn case(name: &str) -> Result<Value, String> {
    let folder =
        published().ok_or("skipped: MXFP4_PUBLISHED is not set, beside which cases/ lies")?;
    let path = folder.join("../cases/api").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The prompt of a request, its special tokens by name.
fn prompt(name: &str) -> Result<String, String> {
    let tokens = harmony().render(&conversation(&case(name)?["request"]));
    Ok(harmony().vocabulary().decode(&tokens))
}

/// A request's prompt, what the model wrote read with the functions that it was offered.
fn answer(name: &str) -> Result<Answer, String> {
    let case = case(name)?;
    let tokens: Vec<u32> =
        serde_json::from_value(case["tokens"].clone()).map_err(|e| e.to_string())?;
    let text = case["text"].as_str().unwrap_or_default();
    assert_eq!(harmony().vocabulary().encode_with_special(text), tokens);
    let offered: Vec<&str> = case["offered"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Ok(read(&offered, &tokens))
}

fn has(text: &str, part: &str) -> Result<(), String> {
    if text.contains(part) {
        Ok(())
    } else {
        Err(format!("{part:?} is not in {text:?}"))
    }
}

fn lacks(text: &str, part: &str) -> Result<(), String> {
    if text.contains(part) {
        Err(format!("{part:?} is in {text:?}"))
    } else {
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, right: T) -> Result<(), String> {
    if got == right {
        Ok(())
    } else {
        Err(format!("{got:?} is not {right:?}"))
    }
}

pub fn message_sent_back() -> Result<(), String> {
    let prompt = prompt("01-message-sent-back")?;
    has(
        &prompt,
        "<|start|>assistant<|channel|>final<|message|>Four.<|end|><|start|>user",
    )?;
    lacks(&prompt, "Hm.")
}

pub fn reasoning_between_calls() -> Result<(), String> {
    has(
        &prompt("02-reasoning-between-calls")?,
        "<|start|>assistant<|channel|>analysis<|message|>Must ask.<|end|>\
         <|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>\
         {\"city\": \"Paris\"}<|call|>\
         <|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>20<|end|>\
         <|start|>assistant",
    )
}

pub fn tool_without_description() -> Result<(), String> {
    has(
        &prompt("03-tool-without-description")?,
        "namespace functions {\n\ntype f = (_: {\na?: string,\n}) => any;\n\n} // namespace functions<|end|>",
    )
}

pub fn special_tokens_typed() -> Result<(), String> {
    let case = case("05-special-tokens-typed")?;
    let text = case["request"]["messages"][0]["content"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let tokens = harmony().render(&conversation(&case["request"]));
    let special = harmony().special().to_owned();
    let count = |id| tokens.iter().filter(|token| **token == id).count();
    // The system message, the user's, the assistant's beginning.
    same(
        [special.start, special.message, special.end].map(count),
        [3, 2, 2],
    )?;
    let typed = harmony().vocabulary().encode(&text);
    same(
        tokens.windows(typed.len()).any(|window| window == typed),
        true,
    )?;
    same(&typed[1..3], &[27, 91])
}

pub fn later_system_message() -> Result<(), String> {
    let prompt = prompt("06-later-system-message")?;
    has(
        &prompt,
        "<|start|>developer<|message|># Instructions\n\nBe brief.\n\nSpeak French.<|end|><|start|>user",
    )
}

pub fn channel_tags_in_history() -> Result<(), String> {
    let case = case("08-channel-tags-in-history")?;
    let text = case["request"]["messages"][1]["content"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let tokens = harmony().render(&conversation(&case["request"]));
    let typed = harmony().vocabulary().encode(&text);
    same(
        typed
            .iter()
            .any(|id| harmony().vocabulary().is_special(*id)),
        false,
    )?;
    same(
        tokens.windows(typed.len()).any(|window| window == typed),
        true,
    )
}

pub fn two_calls_in_history() -> Result<(), String> {
    has(
        &prompt("09-two-calls-in-history")?,
        "<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{\"city\": \"Paris\"}<|call|>\
         <|start|>assistant to=functions.now<|channel|>commentary <|constrain|>json<|message|>{}<|call|>\
         <|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>P<|end|>\
         <|start|>functions.now to=assistant<|channel|>commentary<|message|>12:00<|end|><|start|>assistant",
    )
}

pub fn tool_result_quoted() -> Result<(), String> {
    has(
        &prompt("10-tool-result-quoted")?,
        "<|message|>{\"t\": 20}<|end|>",
    )
}

pub fn unknown_effort() -> Result<(), String> {
    has(&prompt("11-unknown-effort")?, "Reasoning: low\n")
}

/// One call of `get_weather` for Paris, and whether there is reasoning.
fn paris(name: &str, reasoning: &str) -> Result<(), String> {
    let answer = answer(name)?;
    let call = Call {
        name: "get_weather".to_owned(),
        arguments: "{\"city\": \"Paris\"}".to_owned(),
    };
    same(answer.calls(), vec![call])?;
    same(answer.content().as_str(), "")?;
    same(answer.reasoning().as_str(), reasoning)?;
    same(answer.end, Some(End::Call))
}

pub fn constrain_without_space() -> Result<(), String> {
    paris("20-constrain-without-space", "")
}

pub fn name_of_many_tokens() -> Result<(), String> {
    let answer = answer("21-name-of-many-tokens")?;
    same(answer.content().as_str(), "")?;
    let call = &answer.calls()[0];
    same(
        call.name.as_str(),
        "mcp_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f0",
    )?;
    same(call.arguments.as_str(), "{\"q\": 1}")
}

pub fn reasoning_only() -> Result<(), String> {
    let answer = answer("22-reasoning-only")?;
    same(answer.reasoning().as_str(), "I think the answer is four.")?;
    same(answer.content().as_str(), "")?;
    same(
        answer
            .parts
            .iter()
            .filter(|part| **part == Part::Reasoning)
            .count(),
        7,
    )
}

pub fn stop_word_in_analysis() -> Result<(), String> {
    let answer = answer("23-stop-word-in-analysis")?;
    same(
        answer.reasoning().as_str(),
        "Thought: look.\nObservation: none.",
    )?;
    same(answer.content().as_str(), "Done.")
}

pub fn stop_word_in_a_stream() -> Result<(), String> {
    same(
        answer("24-stop-word-in-a-stream")?.content().as_str(),
        "One STOP two.",
    )
}

pub fn no_arguments() -> Result<(), String> {
    let call = Call {
        name: "now".to_owned(),
        arguments: "{}".to_owned(),
    };
    let answer = answer("25-no-arguments")?;
    same(answer.content().as_str(), "")?;
    same(answer.calls(), vec![call])
}

pub fn dashes_before_channel() -> Result<(), String> {
    paris("27-dashes-before-channel", "Hm.")
}

pub fn no_start_and_channel() -> Result<(), String> {
    paris("28-no-start-and-channel", "Hm.")
}

pub fn content_type() -> Result<(), String> {
    same(answer("30-content-type")?.content().as_str(), "{\"a\": 1}")
}

pub fn other_role() -> Result<(), String> {
    paris("32-other-role", "")
}

pub fn raw_newline_in_arguments() -> Result<(), String> {
    let answer = answer("33-raw-newline-in-arguments")?;
    same(answer.content().as_str(), "")?;
    same(
        answer.calls()[0].arguments.as_str(),
        "{\"city\": \"line one\\nline two\"}",
    )
}
