//! Answers that have to be refused, and those beside them that have not.

use mxfp4_harmony::grammar::{Calls, Grammar, Limits, Opened, Problem, Schema, Text};
use serde_json::{Value, json};

use crate::walker::Walker;
use crate::walks::harmony;

/// An answer with this before it has thought.
const THOUGHT: &str = "<|channel|>analysis<|message|>Hm. 😊<|end|><|start|>assistant";
const PREAMBLE: &str = "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant";

fn schema(schema: &Value) -> Result<Schema, String> {
    Schema::read(schema, &mut Limits::default()).map_err(|error| error.to_string())
}

fn check(walker: &Walker, grammar: &Grammar, good: &[&str], bad: &[&str]) -> Result<(), String> {
    let harmony = harmony()?;
    let tag = harmony.structural_tag(grammar);
    for (texts, expect) in [(good, true), (bad, false)] {
        for text in texts {
            let tokens = harmony.vocabulary().encode_with_special(text);
            if walker.accepts(&tag, &tokens)? != expect {
                return Err(format!("{text} is accepted: {}", !expect));
            }
        }
    }
    Ok(())
}

fn add() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"], "additionalProperties": false})
}

pub fn answers(walker: &Walker) -> Result<(), String> {
    let grammar = Grammar::answer(Text::Json(schema(&add())?));
    let answer = "<|channel|>final<|message|>{\"a\": 1, \"b\": 2}";
    check(
        walker,
        &grammar,
        &[
            answer,
            &format!("{THOUGHT}{THOUGHT}{answer}"),
            "<|channel|>final <|constrain|>json<|message|>{\"a\":1,\"b\":-2}",
            "<|channel|>final json<|message|>{\n  \"a\": 1,\n  \"b\": 2\n}",
        ],
        &[
            "{\"a\": 1, \"b\": 2}",
            "<|channel|>final<|message|>Four.",
            "<|channel|>final<|message|>{\"a\": 1, \"b\": 2} and more",
            "<|channel|>final<|message|>```json\n{\"a\": 1, \"b\": 2}\n```",
            "<|channel|>final<|message|>{\"a\": 1}",
            "<|channel|>final<|message|>{\"a\": 1, \"b\": 2, \"c\": 3}",
            "<|channel|>final<|message|>{\"a\": 1.5, \"b\": 2}",
            "<|channel|>analysis<|message|>Hm.",
            "<|channel|>commentary<|message|>{\"a\": 1, \"b\": 2}",
            "<|channel|>commentary to=functions.add<|message|>{\"a\": 1, \"b\": 2}",
            &format!("{PREAMBLE}{answer}"),
            &format!("{answer}<|end|><|start|>assistant{answer}"),
            "<|channel|>final<|message|>{\"a\": 1, \"b\": 2",
            "",
        ],
    )?;
    let opened = Grammar {
        opened: Opened::Words,
        ..grammar
    };
    let goes_on = format!("and on.<|end|><|start|>assistant{answer}");
    check(walker, &opened, &[&goes_on], &[answer, "and on."])
}

pub fn calls(walker: &Walker) -> Result<(), String> {
    let city =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let functions = vec![
        ("add".to_owned(), schema(&add())?.into()),
        ("get-weather_2".to_owned(), schema(&city)?.into()),
    ];
    let call = |several| {
        Grammar::call(Calls {
            functions: functions.clone(),
            several,
        })
    };
    let add =
        "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\":1,\"b\":2}";
    let other =
        " to=functions.get-weather_2<|channel|>commentary json<|message|>{\"city\": \"Paris\"}";
    let two = format!("{add}<|end|><|start|>assistant{THOUGHT}{other}");
    let good = [
        add,
        other,
        " to=functions.add<|channel|>commentary <|constrain|>json<|message|>{\"a\": 1, \"b\": 2}",
        "<|channel|>commentary to=functions.add json<|message|>{\"a\": 1, \"b\": 2}",
        "<|channel|>commentary to=functions.add<|message|>{\"a\": 1, \"b\": 2}",
        "<|channel|>commentary to=functions.add<|constrain|>json<|message|>{\"a\": 1, \"b\": 2}",
        &format!("{THOUGHT}{PREAMBLE}{THOUGHT}{add}"),
    ];
    let bad = [
        "",
        "<|channel|>analysis<|message|>I should call.",
        THOUGHT,
        "<|channel|>final<|message|>Four.",
        "{\"a\": 1, \"b\": 2}",
        "<|channel|>commentary<|message|>{\"a\": 1, \"b\": 2}",
        "<|channel|>commentary to=functions.sub <|constrain|>json<|message|>{\"a\":1,\"b\":2}",
        "<|channel|>commentary to=add <|constrain|>json<|message|>{\"a\":1,\"b\":2}",
        "<|channel|>commentary to=functions.get-weather_2 <|constrain|>json<|message|>{\"a\":1,\"b\":2}",
        "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\":1,\"b\":2,\"c\":3}",
        "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\":1}",
        "<|channel|>commentary to=functions.add <|constrain|>json<|message|>",
        "<|channel|>analysis to=functions.add <|constrain|>json<|message|>{\"a\":1,\"b\":2}",
        &format!("{add}{add}"),
        &format!("{add}<|end|><|start|>assistant<|channel|>final<|message|>Done."),
    ];
    check(walker, &call(true), &good, &bad)?;
    check(walker, &call(true), &[&two], &[])?;
    check(walker, &call(false), &good, &bad)?;
    check(walker, &call(false), &[], &[&two])?;
    free_or_call(walker, call(false), add)
}

/// Where a call may come, any answer may, or one of a schema.
fn free_or_call(walker: &Walker, call: Grammar, add: &str) -> Result<(), String> {
    let bad = "<|channel|>commentary to=functions.add <|constrain|>json<|message|>{\"a\":1}";
    let free = Grammar {
        text: Some(Text::Free),
        ..call.clone()
    };
    let said = format!("{THOUGHT}{PREAMBLE}<|channel|>final<|message|>Four.");
    check(walker, &free, &[add, &said], &[bad, THOUGHT])?;
    let form = Grammar {
        text: Some(Text::Choice(vec!["yes".into(), "no".into()])),
        ..call
    };
    let yes = "<|channel|>final<|message|>yes";
    let good = [
        add.to_owned(),
        yes.to_owned(),
        format!("{THOUGHT}{yes}"),
        format!("{PREAMBLE}{add}"),
    ];
    let bad = [bad.to_owned(), said, format!("{PREAMBLE}{yes}")];
    let texts = |texts: &'_ [String]| texts.to_vec();
    let (good, bad) = (texts(&good), texts(&bad));
    let good: Vec<&str> = good.iter().map(String::as_str).collect();
    let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
    check(walker, &form, &good, &bad)
}

/// Each with a text that the schema forbids: xgrammar refuses the schema, or takes the text.
pub fn refused(walker: &Walker) -> Result<(), String> {
    let cases = [
        (
            "uniqueItems",
            json!({"type": "array", "uniqueItems": true}),
            "[1,1]",
        ),
        ("not", json!({"not": {"type": "string"}}), "\"a\""),
        (
            "if",
            json!({"if": {"type": "string"}, "then": {"minLength": 2}}),
            "\"a\"",
        ),
        (
            "contains",
            json!({"type": "array", "contains": {"type": "string"}}),
            "[1]",
        ),
        (
            "multipleOf",
            json!({"type": "integer", "multipleOf": 3}),
            "4",
        ),
        (
            "dependentRequired",
            json!({"type": "object", "dependentRequired": {"a": ["b"]}}),
            "{\"a\":1}",
        ),
        (
            "dependentSchemas",
            json!({"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}}),
            "{\"a\":1}",
        ),
        (
            "dependencies",
            json!({"type": "object", "dependencies": {"a": ["b"]}}),
            "{\"a\":1}",
        ),
        ("$dynamicRef", json!({"$dynamicRef": "#a"}), "1"),
        ("$ref", json!({"$ref": "https://example.com/x"}), "1"),
        ("$ref", json!({"$ref": "#/$defs/none"}), "1"),
        (
            "format",
            json!({"type": "string", "format": "nope"}),
            "\"a\"",
        ),
        (
            "format",
            json!({"type": "string", "format": "date", "pattern": "^2"}),
            "\"1999-01-01\"",
        ),
        (
            "pattern",
            json!({"type": "string", "pattern": "^(?=a)b$"}),
            "\"b\"",
        ),
        (
            "pattern",
            json!({"type": "string", "pattern": "\\bfoo"}),
            "\"foo\"",
        ),
        (
            "pattern",
            json!({"type": "string", "pattern": "a$b"}),
            "\"ab\"",
        ),
        (
            "patternProperties",
            json!({"type": "object", "properties": {"b": {"type": "integer"}}, "patternProperties": {"^a": {"type": "string"}}}),
            "{\"a\":1}",
        ),
        (
            "minProperties",
            json!({"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}}),
            "{\"a\":1,\"a\":2}",
        ),
        ("type", json!({"type": "any"}), "1"),
        ("type", json!({"type": []}), "1"),
        (
            "oneOf",
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            "1",
        ),
        ("enum", json!({"enum": []}), "1"),
        (
            "pattern",
            json!({"enum": ["a", "abc"], "pattern": "c"}),
            "\"a\"",
        ),
    ];
    for (keyword, raw, forbidden) in cases {
        let error = Schema::read(&raw, &mut Limits::default())
            .err()
            .ok_or(format!("{raw} is taken"))?;
        if error.path != format!(".{keyword}") {
            return Err(format!("{raw}: {} at {}", error, error.path));
        }
        if let Ok(taken) = walker.compile(&raw, &[forbidden])
            && taken != [true]
        {
            return Err(format!("xgrammar enforces {raw}"));
        }
    }
    let endless = json!({"$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}}, "$ref": "#/$defs/a"});
    let error = Schema::read(&endless, &mut Limits::default()).err();
    match error.map(|error| (error.path, error.problem)) {
        Some((path, Problem::Endless)) if path == ".$defs.a" => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
