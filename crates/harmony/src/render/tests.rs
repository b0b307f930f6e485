use super::*;
use crate::reader::tests::harmony;

fn prompt(turns: Vec<Turn>) -> String {
    let tokens = harmony().render(&Conversation::new(turns));
    let text = harmony().vocabulary().decode(&tokens);
    let system = "Channel must be included for every message.<|end|>";
    let at = text.find(system).expect("it has a system message") + system.len();
    text[at..].to_owned()
}

fn user(text: &str) -> Turn {
    Turn::User(text.to_owned())
}

fn developer(text: &str) -> Turn {
    Turn::Developer(text.to_owned())
}

fn answer(reasoning: &str, content: &str) -> Turn {
    Turn::assistant(Some(reasoning.to_owned()), Some(content.to_owned()), vec![])
}

fn call(reasoning: &str, name: &str) -> Turn {
    let call = Call {
        name: name.to_owned(),
        arguments: "{}".to_owned(),
    };
    Turn::assistant(Some(reasoning.to_owned()), None, vec![call])
}

fn result(name: &str) -> Turn {
    Turn::ToolResult {
        name: name.to_owned(),
        content: "\"4\"".to_owned(),
    }
}

#[test]
fn instructions_at_the_beginning_are_one_message_later_ones_stay() {
    let turns = vec![
        developer("One."),
        developer(""),
        developer("Two."),
        user("Hi"),
        developer("Three."),
        developer(""),
    ];
    let right = "<|start|>developer<|message|># Instructions\n\nOne.\n\nTwo.<|end|>\
                 <|start|>user<|message|>Hi<|end|>\
                 <|start|>developer<|message|># Instructions\n\nThree.<|end|><|start|>assistant";
    assert_eq!(prompt(turns), right);
}

#[test]
fn reasoning_is_kept_since_the_last_answer() {
    let turns = vec![
        user("1"),
        call("a", "f"),
        result("f"),
        answer("b", "One"),
        user("2"),
        call("c", "f"),
        result("f"),
    ];
    let calls = "<|start|>assistant to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>\
                 <|start|>functions.f to=assistant<|channel|>commentary<|message|>\"4\"<|end|>";
    let right = format!(
        "<|start|>user<|message|>1<|end|>{calls}\
         <|start|>assistant<|channel|>final<|message|>One<|end|>\
         <|start|>user<|message|>2<|end|>\
         <|start|>assistant<|channel|>analysis<|message|>c<|end|>{calls}<|start|>assistant"
    );
    assert_eq!(prompt(turns), right);
}

#[test]
fn an_empty_answer_is_one_and_an_empty_preamble_is_none() {
    let text = prompt(vec![answer("", "")]);
    assert_eq!(
        text,
        "<|start|>assistant<|channel|>final<|message|><|end|><|start|>assistant"
    );
    let Turn::Assistant(items) = call("", "f") else {
        unreachable!("it is the assistant's");
    };
    assert_eq!(items.len(), 1);
}

#[test]
fn what_a_date_and_an_identity_say() {
    let mut conversation = Conversation::default();
    conversation.system.date = Some("2026-12-01".to_owned());
    conversation.system.identity = "You are I.".to_owned();
    let text = harmony()
        .vocabulary()
        .decode(&harmony().render(&conversation));
    let right = "<|start|>system<|message|>You are I.\nKnowledge cutoff: 2024-06\n\
                 Current date: 2026-12-01\n\nReasoning: medium\n\n# Valid channels: analysis, \
                 commentary, final. Channel must be included for every message.<|end|><|start|>assistant";
    assert_eq!(text, right);
}

#[test]
fn an_open_answer_is_written_on() {
    let turns = vec![
        user("1"),
        answer("a", "One"),
        user("2"),
        answer("b", "Once upon"),
    ];
    let conversation = Conversation::new(turns);
    let (tokens, opened) = harmony()
        .render_open(&conversation)
        .expect("it is the assistant's turn");
    let text = harmony().vocabulary().decode(&tokens);
    let right = "<|start|>assistant<|channel|>final<|message|>One<|end|><|start|>user<|message|>2<|end|>\
                 <|start|>assistant<|channel|>analysis<|message|>b<|end|>\
                 <|start|>assistant<|channel|>final<|message|>Once upon";
    assert!(text.ends_with(right), "{text}");
    let opened = harmony()
        .vocabulary()
        .decode(&tokens[tokens.len() - opened..]);
    assert_eq!(opened, "<|channel|>final<|message|>Once upon");
}

#[test]
fn what_cannot_be_written_on() {
    for turns in [
        vec![],
        vec![user("1")],
        vec![call("a", "f")],
        vec![Turn::Assistant(vec![])],
    ] {
        assert_eq!(harmony().render_open(&Conversation::new(turns)), None);
    }
}
