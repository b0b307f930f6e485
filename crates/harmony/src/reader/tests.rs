use super::*;
use crate::Harmony;
use crate::vocabulary::tests::bytes_and;

const SPECIAL: [&str; 9] = [
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|channel|>",
    "<|constrain|>",
    "<|call|>",
    "<|return|>",
    "<|endoftext|>",
    "<|reserved_1|>",
];

const CALL: &str = "call f {\"a\": 1}";

/// The format with a token for each byte.
pub(crate) fn harmony() -> Harmony {
    Harmony::new(bytes_and(&SPECIAL).into()).expect("it has the format's tokens")
}

/// What a reader tells of a text in which special tokens stand by name, with the functions
/// `f` and `now` offered.
fn told(text: &str) -> String {
    told_by(harmony().reader(&["f", "now"]), text)
}

fn told_by(mut reader: Reader, text: &str) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut tell = |event: Event<'_>| match event {
        Event::Message(kind) => told.push(format!("{kind:?}: ").to_lowercase()),
        Event::Reasoning(text) | Event::Content(text) => match told.last_mut() {
            Some(last) => last.push_str(text),
            None => told.push(text.to_owned()),
        },
        Event::Call { name, arguments } => told.push(format!("call {name} {arguments}")),
        Event::End(end) => told.push(format!("{end:?}").to_lowercase()),
    };
    for id in harmony().vocabulary().encode_with_special(text) {
        reader.push(id, &mut tell);
    }
    reader.finish(&mut tell);
    told.join(" | ")
}

/// Each text is told as the line beside it.
#[track_caller]
fn all(cases: &[(&str, &str)]) {
    for (text, right) in cases {
        assert_eq!(told(text), *right, "of {text}");
    }
}

#[test]
fn what_keeps_the_format() {
    all(&[
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>\
             Wait.<|end|><|start|>assistant<|channel|>final<|message|>Four.<|return|>",
            "reasoning: Hm. | preamble: Wait. | final: Four. | return",
        ),
        (
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": 1}<|call|>",
            "call f {\"a\": 1} | call",
        ),
        (
            " to=functions.f<|channel|>commentary json<|message|>{\"a\": 1}<|call|>",
            "call f {\"a\": 1} | call",
        ),
        (
            "<|channel|>final<|message|>Four.<|endoftext|>",
            "final: Four. | return",
        ),
        // The server's words, not the format's, are what the client sent: they have no tokens.
        (
            "<|channel|>final<|message|>a<|reserved_1|>b<|return|>",
            "final: ab | return",
        ),
    ]);
}

#[test]
fn a_content_type_is_no_content() {
    let call = format!("{CALL} | call");
    for content_type in [
        "<|constrain|>json",
        " <|constrain|>json",
        " <|constrain|> json",
        " <|constrain|>JSON",
        " <|constrain|>response_format_1",
        "<|constrain|>application/json",
        " <|constrain|>",
        " json",
        " code",
        "json",
        "",
    ] {
        let text = format!(
            "<|channel|>commentary to=functions.f{content_type}<|message|>{{\"a\": 1}}<|call|>"
        );
        assert_eq!(told(&text), call, "of {text}");
    }
    all(&[
        (
            "<|channel|>final <|constrain|>JSON<|message|>{}<|return|>",
            "final: {} | return",
        ),
        (
            "<|channel|>final json<|message|>{}<|return|>",
            "final: {} | return",
        ),
    ]);
}

#[test]
fn a_wrong_or_missing_channel() {
    all(&[
        ("<|message|>Hi<|return|>", "final: Hi | return"),
        (
            "<|channel|>thought<|message|>Hi<|return|>",
            "final: Hi | return",
        ),
        ("<|channel|><|message|>Hi<|return|>", "final: Hi | return"),
        (
            "<|channel|>Analysis<|message|>Hm<|return|>",
            "reasoning: Hm | return",
        ),
        (
            "<|channel|>analysis<|channel|>final<|message|>Hi<|return|>",
            "final: Hi | return",
        ),
        (
            "<|channel|>analysis to=functions.f<|message|>{\"a\": 1}<|call|>",
            "call f {\"a\": 1} | call",
        ),
        (
            "<|channel|>final to=functions.f<|message|>{\"a\": 1}<|call|>",
            "call f {\"a\": 1} | call",
        ),
        (
            " to=functions.f<|message|>{\"a\": 1}<|call|>",
            "call f {\"a\": 1} | call",
        ),
        ("analysis<|message|>Hm<|return|>", "reasoning: Hm | return"),
    ]);
}

#[test]
fn an_author_named_twice_or_not_at_all() {
    let call = "commentary to=functions.f <|constrain|>json<|message|>{\"a\": 1}<|call|>";
    let told_call = format!("reasoning: Hm. | {CALL} | call");
    for between in [
        "<|end|><|start|>assistant<|channel|>",
        "<|end|><|start|>assistant<|start|>assistant<|channel|>",
        "<|end|><|start|>assistantassistant<|channel|>",
        "<|end|><|start|>assistant assistant<|channel|>",
        "<|end|><|start|>assistant\u{2013}\u{2013}<|channel|>",
        "<|end|><|start|>assistant\n<|channel|>",
        "<|end|><|start|><|channel|>",
        "<|end|>assistant<|channel|>",
        "<|end|><|channel|>",
        "<|end|>",
        "<|end|><|start|>",
        "<|end|><|start|>assistant",
        "<|end|>\n<|start|>assistant<|channel|>",
        "<|channel|>",
        "<|start|>assistant<|channel|>",
    ] {
        let text = format!("<|channel|>analysis<|message|>Hm.{between}{call}");
        assert_eq!(told(&text), told_call, "of {text}");
    }
    all(&[
        (
            "assistant<|channel|>final<|message|>Hi<|return|>",
            "final: Hi | return",
        ),
        (
            "<|start|>assistant<|channel|>final<|message|>Hi<|return|>",
            "final: Hi | return",
        ),
        (
            "<|channel|>final<|message|><|message|>Hi<|return|>",
            "final: Hi | return",
        ),
    ]);
}

#[test]
fn words_that_no_header_has_are_content() {
    all(&[
        ("Hello there.<|return|>", "final: Hello there. | return"),
        ("Hi", "final: Hi"),
        ("🙂<|return|>", "final: 🙂 | return"),
        (
            "Hello there.<|end|>More.<|return|>",
            "final: Hello there. | final: More. | return",
        ),
        (
            "Here is it<|channel|>final<|message|>Hi",
            "preamble: Here is it | final: Hi",
        ),
        (
            "<|channel|>final Hello there<|return|>",
            "final: Hello there | return",
        ),
        (
            "<|channel|>analysis Let me see<|end|>",
            "reasoning: Let me see",
        ),
        ("<|channel|>final<|return|>", "return"),
        (
            "<|channel|>commentary to=functions.f {\"a\": 1}<|call|>",
            "call f {\"a\": 1} | call",
        ),
        (
            "<|channel|>commentary to=functions.f <|constrain|>json{\"a\": 1}<|call|>",
            "call f {\"a\": 1} | call",
        ),
        (
            "commentary to=functions.f {\"a\": 1}<|call|>",
            "call f {\"a\": 1} | call",
        ),
        (
            "<|channel|>commentary to=functions.now<|call|>",
            "call now {} | call",
        ),
        ("<|channel|>commentary to=functions.now<|end|>", ""),
    ]);
    // Too long for a header, or of several lines: told as it comes.
    let long = "word ".repeat(100);
    assert_eq!(told(&long), format!("final: {long}"));
    let mut reader = harmony().reader(&["f"]);
    let mut content = String::new();
    for id in harmony().vocabulary().encode("Hello.\nI am") {
        reader.push(id, &mut |event| {
            if let Event::Content(text) = event {
                content.push_str(text);
            }
        });
    }
    assert_eq!(content, "Hello.\nI am");
}

#[test]
fn a_cut_inside_a_header_tells_nothing() {
    all(&[
        ("<|channel|>", ""),
        ("<|channel|>anal", ""),
        ("<|channel|>final", ""),
        ("<|channel|>commentary to", ""),
        ("<|channel|>commentary to=functions.ge", ""),
        ("<|channel|>commentary to=functions.f <|constrain|>js", ""),
        (
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>",
            "",
        ),
        (
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assist",
            "reasoning: Hm.",
        ),
        (" to=func", ""),
    ]);
}

#[test]
fn a_cut_inside_a_content_tells_what_is_there() {
    let call = "<|channel|>commentary to=functions.f<|message|>";
    assert_eq!(told(&format!("{call}{{\"a\": 1}}")), CALL);
    assert_eq!(told(&format!("{call}{{\"a\": 1")), "preamble: {\"a\": 1");
    assert_eq!(
        told(&format!("{call}{{\"a\": 1<|call|>")),
        "call f {\"a\": 1} | call"
    );
    assert_eq!(told("<|channel|>final<|message|>One tw"), "final: One tw");
    let mut reader = harmony().reader(&["f"]);
    let mut content = String::new();
    let mut tell = |event: Event<'_>| {
        if let Event::Content(text) = event {
            content.push_str(text);
        }
    };
    let mut ids = harmony()
        .vocabulary()
        .encode_with_special("<|channel|>final<|message|>é🙂");
    ids.pop();
    reader.read(&ids, &mut Vec::new(), &mut tell);
    reader.finish(&mut tell);
    assert_eq!(content, "é\u{FFFD}");
}

#[test]
fn to_whom_a_call_is() {
    let name = "x".repeat(64);
    let long = format!("call {name} {{\"a\": 1}} | call");
    let text = "preamble: {\"a\": 1} | call";
    for (recipient, right) in [
        ("functions.f", "call f {\"a\": 1} | call"),
        ("f", "call f {\"a\": 1} | call"),
        // Not offered: a call all the same, which a client can answer.
        ("functions.other", "call other {\"a\": 1} | call"),
        ("other", "call other {\"a\": 1} | call"),
        (
            "repo_browser.open",
            "call repo_browser_open {\"a\": 1} | call",
        ),
        (&format!("functions.{name}"), &long),
        // No function's name.
        (&format!("functions.{name}x"), text),
        ("functions.f!", text),
        ("functions.", text),
        ("functions", text),
        ("all", text),
        ("user", text),
        ("assistant", text),
        ("final", text),
    ] {
        let written = format!(
            "<|channel|>commentary to={recipient} <|constrain|>json<|message|>{{\"a\": 1}}<|call|>"
        );
        assert_eq!(told(&written), right, "to {recipient}");
    }
}

#[test]
fn what_is_no_json_is_text_of_its_channel() {
    all(&[
        (
            "<|channel|>commentary to=functions.f<|message|>no JSON<|call|>",
            "preamble: no JSON | call",
        ),
        (
            "<|channel|>analysis to=python code<|message|>print(1)<|call|>",
            "reasoning: print(1) | call",
        ),
        (
            "<|channel|>analysis to=functions.f<|message|>{a<|call|>",
            "reasoning: {a | call",
        ),
        (
            "<|channel|>commentary to=functions.f<|message|>{\"a\": 1} and so on<|call|>",
            "preamble: {\"a\": 1} and so on | call",
        ),
        (
            "<|channel|>commentary to=functions.other<|message|>[1]<|call|>",
            "preamble: [1] | call",
        ),
        (
            "<|channel|>commentary to=functions.f<|message|>[1]<|call|>",
            "call f [1] | call",
        ),
        (
            "<|channel|>commentary to=functions.now<|message|><|call|>",
            "call now {} | call",
        ),
        (
            "<|channel|>commentary to=functions.now<|message|> \n<|call|>",
            "call now {} | call",
        ),
        (
            "<|channel|>commentary to=functions.f<|message|>{\"a\": NaN}<|call|>",
            "call f {\"a\": null} | call",
        ),
    ]);
}

#[test]
fn without_functions_there_are_no_calls() {
    let reader = harmony().reader(&[] as &[&str]);
    let text =
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": 1}<|call|>";
    assert_eq!(told_by(reader, text), "preamble: {\"a\": 1} | call");
}

#[test]
fn another_authors_message_is_nobodys_text() {
    let result = "<|start|>functions.f to=assistant<|channel|>commentary<|message|>20<|end|>";
    let rest = "<|start|>assistant<|channel|>final<|message|>Hi<|return|>";
    let think = "<|channel|>analysis<|message|>Hm.<|end|>";
    // Nothing is answered yet: the answer is waited for.
    assert_eq!(
        told(&format!("{think}{result}{rest}")),
        "reasoning: Hm. | final: Hi | return"
    );
    // The client has what it asked for.
    let call = "<|channel|>commentary to=functions.f<|message|>{\"a\": 1}<|end|>";
    assert_eq!(
        told(&format!("{call}{result}{rest}")),
        format!("{CALL} | otherrole")
    );
    let answer = "<|channel|>final<|message|>Hi<|end|>";
    for other in [
        "<|start|>user<|message|>",
        "<|start|>system<|message|>",
        "<|start|>user:bob<|message|>",
        "user<|message|>",
    ] {
        assert_eq!(
            told(&format!("{answer}{other}And?<|end|>{rest}")),
            "final: Hi | otherrole"
        );
    }
    // The same words where they are no author.
    all(&[
        (
            "<|channel|>final<|message|>Hi<|end|><|start|>assistant to=user<|channel|>final<|message|>Bye<|return|>",
            "final: Hi | final: Bye | return",
        ),
        (
            "<|channel|>final<|message|>Hi<|end|>user interfaces are hard<|return|>",
            "final: Hi | final: user interfaces are hard | return",
        ),
        (
            "<|start|>functions.f<|channel|>commentary <|constrain|>json<|message|>{\"a\": 1}<|call|>",
            "call f {\"a\": 1} | call",
        ),
    ]);
}

#[test]
fn after_the_end_nothing_is_told() {
    for end in ["<|return|>", "<|call|>", "<|endoftext|>"] {
        let text = format!(
            "<|channel|>final<|message|>Hi{end}<|start|>assistant<|channel|>final<|message|>More<|return|>"
        );
        let told = told(&text);
        assert!(
            told.starts_with("final: Hi | ") && !told.contains("More"),
            "{told}"
        );
    }
}

#[test]
fn each_token_has_its_part() {
    use Part::{Call, Content, Header, Reasoning};
    let mut reader = harmony().reader(&["f"]);
    let text = "<|channel|>analysis<|message|>H<|end|><|start|>assistant<|channel|>final<|message|>é\
                <|end|><|start|>assistant<|channel|>commentary to=functions.f<|message|>{}<|call|>x";
    let mut parts = Vec::new();
    reader.read(
        &harmony().vocabulary().encode_with_special(text),
        &mut parts,
        &mut |_| {},
    );
    parts.dedup();
    let right = [Header, Reasoning, Header, Content, Header, Call, Header];
    assert_eq!(parts, right);
    // Beyond the tokenizer: of the part that it stands in, and nothing told.
    let mut reader = harmony().reader_after(
        &["f"],
        &harmony()
            .vocabulary()
            .encode_with_special("<|channel|>analysis<|message|>"),
    );
    assert_eq!(
        reader.push(5_000_000, &mut |event| panic!("{event:?}")),
        Reasoning
    );
}

#[test]
fn a_reader_goes_on_where_the_prompt_ends() {
    let vocabulary = bytes_and(&SPECIAL);
    let after =
        |opened: &str| harmony().reader_after(&["f"], &vocabulary.encode_with_special(opened));
    let open = "<|channel|>final<|message|>Once upon";
    assert_eq!(
        told_by(after(open), " a time<|return|>"),
        " a time | return"
    );
    assert_eq!(
        told_by(after("<|channel|>analysis<|message|>"), "Hm"),
        "reasoning: Hm"
    );
    assert_eq!(
        told_by(
            after("<|channel|>commentary to=functions.f"),
            "<|message|>{}<|call|>"
        ),
        "call f {} | call"
    );
}

#[test]
fn pieces_that_come_together_are_told_as_one() {
    let text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>é🙂<|return|>";
    let mut pieces = Vec::new();
    let mut reader = harmony().reader(&["f"]);
    reader.read(
        &harmony().vocabulary().encode_with_special(text),
        &mut Vec::new(),
        &mut |event| match event {
            Event::Reasoning(text) | Event::Content(text) => pieces.push(text.to_owned()),
            _ => {}
        },
    );
    assert_eq!(pieces, ["Hm.", "é🙂"]);
}
