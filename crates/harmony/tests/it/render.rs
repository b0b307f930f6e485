//! Random conversations, rendered by the oracle too.

use mxfp4_harmony::{Call, Conversation, Effort, Item, System, Tool, Turn};
use openai_harmony::chat::{
    Author, Content, DeveloperContent, Message, ReasoningEffort, Role, SystemContent,
    ToolDescription,
};
use proptest::prelude::*;

use crate::oracle::rendered;
use crate::property::{Count, holds, same};
use crate::reading::harmony;
use crate::schema::{Schema, parameters, value};
use crate::text::{name, text};

/// A function, its arguments in both words.
#[derive(Clone, Debug)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Schema>,
}

/// What a conversation is made of.
type Parts = (System, Vec<Function>, Vec<Turn>);

fn function() -> impl Strategy<Value = Function> {
    let parameters = prop::option::weighted(0.9, parameters());
    (name(), prop::option::of(text()), parameters).prop_map(|(name, description, parameters)| {
        Function {
            name,
            description,
            parameters,
        }
    })
}

fn system() -> impl Strategy<Value = System> {
    let effort = prop::sample::select(vec![Effort::Low, Effort::Medium, Effort::High]);
    let identity = prop_oneof![
        1 => Just(System::default().identity),
        1 => text().prop_map(|text| format!("You are {text}")),
    ];
    let date = prop::option::of(Just("2026-12-01".to_owned()));
    (identity, date, effort).prop_map(|(identity, date, effort)| System {
        identity,
        date,
        effort,
        ..System::default()
    })
}

pub fn call() -> impl Strategy<Value = Call> {
    let arguments = prop_oneof![
        3 => value().prop_map(|value| value.to_string()),
        1 => text(),
    ];
    (name(), arguments).prop_map(|(name, arguments)| Call { name, arguments })
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        text().prop_map(Item::Reasoning),
        text().prop_map(Item::Preamble),
        text().prop_map(Item::Final),
        call().prop_map(Item::Call),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    let calls = prop::collection::vec(call(), 0..4);
    prop_oneof![
        2 => text().prop_map(Turn::Developer),
        4 => text().prop_map(Turn::User),
        4 => (prop::option::of(text()), prop::option::of(text()), calls)
            .prop_map(|(reasoning, content, calls)| Turn::assistant(reasoning, content, calls)),
        1 => prop::collection::vec(item(), 0..5).prop_map(Turn::Assistant),
        2 => (name(), prop_oneof![text(), value().prop_map(|value| value.to_string())])
            .prop_map(|(name, content)| Turn::ToolResult { name, content }),
    ]
}

fn parts() -> impl Strategy<Value = Parts> {
    let functions = prop::collection::vec(function(), 0..=8);
    (system(), functions, prop::collection::vec(turn(), 0..12))
}

/// The oracle's system message.
fn system_message(system: &System) -> Message {
    let effort = match system.effort {
        Effort::Low => ReasoningEffort::Low,
        Effort::Medium => ReasoningEffort::Medium,
        Effort::High => ReasoningEffort::High,
    };
    let mut content = SystemContent::new()
        .with_model_identity(&system.identity)
        .with_knowledge_cutoff(&system.cutoff)
        .with_reasoning_effort(effort);
    content.conversation_start_date = system.date.clone();
    Message::from_role_and_content(Role::System, content)
}

fn developer_message(instructions: &str, functions: &[Function]) -> Option<Message> {
    let mut content = DeveloperContent::new();
    if !instructions.is_empty() {
        content = content.with_instructions(instructions);
    }
    if !functions.is_empty() {
        let tools = functions.iter().map(|function| {
            ToolDescription::new(
                &function.name,
                function.description.clone().unwrap_or_default(),
                function.parameters.as_ref().map(Schema::plain),
            )
        });
        content = content.with_function_tools(tools.collect());
    }
    let says = !instructions.is_empty() || !functions.is_empty();
    says.then(|| Message::from_role_and_content(Role::Developer, content))
}

pub fn item_message(item: &Item) -> Message {
    let of = |channel: &str, text: &str| {
        Message::from_role_and_content(Role::Assistant, text).with_channel(channel)
    };
    match item {
        Item::Reasoning(text) => of("analysis", text),
        Item::Preamble(text) => of("commentary", text),
        Item::Final(text) => of("final", text),
        Item::Call(call) => of("commentary", &call.arguments)
            .with_recipient(format!("functions.{}", call.name))
            .with_content_type("<|constrain|>json"),
    }
}

/// A conversation as the oracle's messages, reasoning and all.
fn messages((system, functions, turns): &Parts) -> Vec<Message> {
    let is_developer = |turn: &&Turn| matches!(turn, Turn::Developer(_));
    let first: Vec<&Turn> = turns.iter().take_while(is_developer).collect();
    let texts = first.iter().filter_map(|turn| match turn {
        Turn::Developer(text) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    });
    let instructions = texts.collect::<Vec<_>>().join("\n\n");
    let mut messages = vec![system_message(system)];
    messages.extend(developer_message(&instructions, functions));
    for turn in &turns[first.len()..] {
        match turn {
            Turn::Developer(text) => messages.extend(developer_message(text, &[])),
            Turn::User(text) => messages.push(Message::from_role_and_content(Role::User, text)),
            Turn::Assistant(items) => messages.extend(items.iter().map(item_message)),
            Turn::ToolResult { name, content } => messages.push(
                Message::from_author_and_content(
                    Author::new(Role::Tool, format!("functions.{name}")),
                    Content::from(content),
                )
                .with_recipient("assistant")
                .with_channel("commentary"),
            ),
        }
    }
    messages
}

fn has_channel(message: &Message, channel: &str) -> bool {
    message.channel.as_deref() == Some(channel)
}

/// The messages without reasoning before the last answer.
fn since_the_last_answer(mut messages: Vec<Message>) -> Vec<Message> {
    let last = messages
        .iter()
        .rposition(|message| has_channel(message, "final"));
    let mut at = 0;
    messages.retain(|message| {
        at += 1;
        !(has_channel(message, "analysis") && last.is_some_and(|last| at <= last))
    });
    messages
}

/// Whether the oracle drops by itself what has to be dropped. It drops reasoning before the
/// first answer, not the last, and only while no reasoning or call follows the last.
fn oracle_drops(messages: &[Message]) -> bool {
    let answers = messages
        .iter()
        .filter(|message| has_channel(message, "final"))
        .count();
    let of_assistant = |message: &&Message| message.author.role == Role::Assistant;
    let last = messages.iter().rev().find(of_assistant);
    answers == 0 || (answers == 1 && last.is_some_and(|last| has_channel(last, "final")))
}

fn conversation((system, functions, turns): &Parts) -> Conversation {
    let tools = functions.iter().map(|function| Tool {
        name: function.name.clone(),
        description: function.description.clone(),
        parameters: function.parameters.as_ref().map(Schema::extended),
    });
    Conversation {
        system: system.clone(),
        tools: tools.collect(),
        format: None,
        turns: turns.clone(),
    }
}

pub fn conversations() -> Result<(), String> {
    let count = Count {
        sample: 150,
        full: 5_000,
    };
    holds(
        "conversations rendered as by the oracle",
        count,
        &parts(),
        |parts| {
            let tokens = harmony().render(&conversation(&parts));
            let messages = messages(&parts);
            if oracle_drops(&messages) {
                same_tokens(&tokens, &rendered(&messages, true))?;
            }
            same_tokens(&tokens, &rendered(&since_the_last_answer(messages), false))
        },
    )
}

fn same_tokens(ours: &[u32], theirs: &[u32]) -> Result<(), String> {
    if ours != theirs {
        let text = |tokens: &[u32]| harmony().vocabulary().decode(tokens);
        same(text(ours), text(theirs))?;
    }
    same(ours, theirs)
}

/// A schema of random keys at random places, which may be no schema at all.
fn wild() -> impl Strategy<Value = serde_json::Value> {
    let words = vec![
        "type",
        "properties",
        "items",
        "enum",
        "const",
        "oneOf",
        "anyOf",
        "allOf",
        "$ref",
        "$defs",
        "description",
        "title",
        "default",
        "examples",
        "nullable",
        "required",
        "a",
    ];
    let leaf = prop_oneof![
        3 => value(),
        2 => prop::sample::select(vec!["string", "object", "array", "null", "integer"]).prop_map(Into::into),
        2 => prop::sample::select(vec!["#", "#/$defs/a", "#/properties/a", "#/items", "#/oneOf/0", "#/allOf/0"])
            .prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let key = prop::sample::select(words.clone());
        prop_oneof![
            3 => prop::collection::vec((key, inner.clone()), 0..6)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            1 => prop::collection::vec(inner, 0..4).prop_map(serde_json::Value::from),
        ]
    })
}

pub fn what_is_no_schema() -> Result<(), String> {
    let count = Count {
        sample: 500,
        full: 100_000,
    };
    holds("values taken for schemas", count, &wild(), |parameters| {
        let tool = Tool {
            name: "f".to_owned(),
            description: None,
            parameters: Some(parameters),
        };
        let conversation = Conversation {
            tools: vec![tool],
            ..Conversation::default()
        };
        let text = harmony()
            .vocabulary()
            .decode(&harmony().render(&conversation));
        let written = text.contains("type f = (_: ") && text.len() < 2 << 20;
        if written {
            Ok(())
        } else {
            Err(format!("{} bytes", text.len()))
        }
    })
}
