//! Random answers, read by the oracle too.

use mxfp4_harmony::{Call, Item, Message};
use openai_harmony::StreamableParser;
use openai_harmony::chat::{Content, Role};
use proptest::prelude::*;
use serde_json::Value;

use crate::oracle::oracle;
use crate::output::{Output, output, special};
use crate::property::{Count, holds, same};
use crate::reading::{Answer, harmony, read};
use crate::text::text;

/// What the oracle reads.
fn by_the_oracle(tokens: &[u32]) -> Result<Vec<Item>, String> {
    let mut parser = StreamableParser::new(oracle().clone(), Some(Role::Assistant))
        .map_err(|error| error.to_string())?;
    for token in tokens {
        parser.process(*token).map_err(|error| error.to_string())?;
    }
    parser.process_eos().map_err(|error| error.to_string())?;
    parser.messages().iter().filter_map(item).collect()
}

/// A message of the oracle's as an item. An empty text is none.
fn item(message: &openai_harmony::chat::Message) -> Option<Result<Item, String>> {
    let text = match &message.content[..] {
        [Content::Text(text)] => text.text.clone(),
        other => return Some(Err(format!("the oracle read {other:?}"))),
    };
    let channel = message.channel.as_deref().unwrap_or_default();
    if let Some(recipient) = &message.recipient {
        let name = recipient.trim_start_matches("functions.").to_owned();
        let arguments = if text.is_empty() {
            "{}".to_owned()
        } else {
            text
        };
        return Some(Ok(Item::Call(Call { name, arguments })));
    }
    if text.is_empty() {
        return None;
    }
    Some(match channel {
        "analysis" => Ok(Item::Reasoning(text)),
        "commentary" => Ok(Item::Preamble(text)),
        "final" => Ok(Item::Final(text)),
        other => Err(format!("the oracle read the channel {other:?}")),
    })
}

/// Reads tokens that come in chunks.
fn read_in_chunks(output: &Output, length: usize) -> Answer {
    let offered: Vec<&str> = output.offered.iter().map(String::as_str).collect();
    let mut reader = harmony().reader(&offered);
    let mut answer = Answer::default();
    let mut parts = Vec::new();
    for chunk in output.tokens.chunks(length) {
        reader.read(chunk, &mut parts, &mut |event| answer.add(event));
    }
    reader.finish(&mut |event| answer.add(event));
    answer.parts = parts;
    answer
}

pub fn well_formed() -> Result<(), String> {
    let count = Count {
        sample: 300,
        full: 10_000,
    };
    holds(
        "answers read as by the oracle",
        count,
        &output(),
        |output| {
            let theirs = by_the_oracle(&output.tokens)?;
            for length in [1, 2, 3, 7] {
                let answer = read_in_chunks(&output, length);
                same(&answer.items, &theirs)?;
                same(answer.parts.len(), output.tokens.len())?;
            }
            again(&output.offered, &theirs)
        },
    )
}

/// What was read, rendered and read again, is the same.
fn again(offered: &[String], items: &[Item]) -> Result<(), String> {
    let special = harmony().special().to_owned();
    let messages: Vec<Message> = items.iter().map(Message::from).collect();
    let mut tokens = harmony().render_messages(&messages);
    // A turn with several calls was several answers: each ends with its call.
    for token in &mut tokens {
        if *token == special.call {
            *token = special.end;
        }
    }
    let offered: Vec<&str> = offered.iter().map(String::as_str).collect();
    let after = tokens.get(2..).unwrap_or_default();
    same(&read(&offered, after).items[..], items)
}

/// Something that happens to an answer.
#[derive(Clone, Debug)]
enum Mutation {
    Delete,
    Double,
    Swap,
    Cut,
    Insert(Vec<u32>),
    Replace(u32),
}

/// What models write at the wrong place, special tokens by name.
const SLIPS: [&str; 30] = [
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|channel|>",
    "<|constrain|>",
    "<|call|>",
    "<|return|>",
    "<|endoftext|>",
    "<|reserved_200013|>",
    "assistant",
    "analysis",
    "commentary",
    "final",
    " to=",
    "functions.",
    " to=functions.get_weather",
    " json",
    "––",
    "\n",
    " ",
    "{",
    "}",
    "\"",
    "NaN",
    "user",
    "<|start|>user<|message|>",
    "<|start|>functions.f to=assistant<|channel|>commentary<|message|>",
    "<|start|>assistant",
    "<|channel|>final<|message|>",
    "python",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        3 => Just(Mutation::Delete),
        1 => Just(Mutation::Double),
        1 => Just(Mutation::Swap),
        1 => Just(Mutation::Cut),
        4 => prop::sample::select(&SLIPS[..]).prop_map(|slip| {
            let mut tokens = Vec::new();
            special(slip, &mut tokens);
            Mutation::Insert(tokens)
        }),
        1 => text().prop_map(|text| Mutation::Insert(harmony().vocabulary().encode(&text))),
        1 => (0..201_088u32).prop_map(|id| Mutation::Insert(vec![id])),
        1 => any::<u32>().prop_map(Mutation::Replace),
        1 => (199_998..200_030u32).prop_map(Mutation::Replace),
    ]
}

impl Mutation {
    fn apply(self, at: usize, tokens: &mut Vec<u32>) {
        let at = at % (tokens.len() + 1);
        if let Self::Insert(more) = self {
            tokens.splice(at..at, more);
            return;
        }
        let Some(token) = tokens.get(at).copied() else {
            return;
        };
        match self {
            Self::Delete => drop(tokens.remove(at)),
            Self::Double => tokens.insert(at, token),
            Self::Swap => {
                let other = (at + 1) % tokens.len();
                tokens.swap(at, other);
            }
            Self::Cut => tokens.truncate(at),
            Self::Replace(id) => tokens[at] = id,
            Self::Insert(_) => {}
        }
    }
}

/// An answer to which things happened.
fn mutated() -> impl Strategy<Value = Output> {
    let mutations = prop::collection::vec((mutation(), any::<usize>()), 1..5);
    (output(), mutations).prop_map(|(mut output, mutations)| {
        for (mutation, at) in mutations {
            mutation.apply(at, &mut output.tokens);
        }
        output
    })
}

pub fn malformed() -> Result<(), String> {
    let count = Count {
        sample: 10_000,
        full: 1_000_000,
    };
    holds(
        "mutated answers read without loss",
        count,
        &mutated(),
        |output| {
            let answer = read_in_chunks(&output, 1);
            same(&read_in_chunks(&output, 5), &answer)?;
            same(answer.parts.len(), output.tokens.len())?;
            for call in answer.calls() {
                let is_json = serde_json::from_str::<Value>(&call.arguments).is_ok();
                if !is_json || !mxfp4_harmony::is_function_name(&call.name) {
                    return Err(format!("{call:?} cannot be called"));
                }
            }
            contents(&output.tokens)
                .iter()
                .try_for_each(|content| is_told(content, &answer))?;
            again(&output.offered, &answer.items)
        },
    )
}

/// The contents that clients must get: what stands between `<|message|>` and the next token of
/// the format's, up to the first sign of another author and to the end of the turn.
fn contents(tokens: &[u32]) -> Vec<String> {
    let special = harmony().special().to_owned();
    let vocabulary = harmony().vocabulary().clone();
    let (mut contents, mut header, mut in_content) = (vec![], String::new(), false);
    let mut content: Vec<u32> = Vec::new();
    for token in tokens {
        let ends = special.ends().contains(token);
        if [special.start, special.channel, special.end].contains(token) || ends {
            contents.push(vocabulary.decode(&std::mem::take(&mut content)));
            header.push(' ');
            in_content = false;
            if ends {
                return contents;
            }
        } else if *token == special.message {
            if header.split_whitespace().any(is_of_another) {
                return contents;
            }
            if !in_content {
                header.clear();
            }
            in_content = true;
        } else if !vocabulary.is_special(*token) {
            match in_content {
                true => content.push(*token),
                false => header.push_str(&vocabulary.decode(&[*token])),
            }
        }
    }
    contents.push(vocabulary.decode(&content));
    contents
}

/// Whether a header's word may name another author.
fn is_of_another(word: &str) -> bool {
    let authors = ["user", "system", "developer", "tool", "to=assistant"];
    word.starts_with("functions.") || authors.iter().any(|author| word.contains(author))
}

/// Whether a client got a content: as text, or as a call's arguments.
fn is_told(content: &str, answer: &Answer) -> Result<(), String> {
    let is_in = |item: &Item| match item {
        Item::Reasoning(text) | Item::Preamble(text) | Item::Final(text) => text.contains(content),
        Item::Call(call) => {
            let repaired = serde_json::from_str::<Value>(content).is_err();
            call.arguments == content.trim()
                || repaired && letters(content) == letters(&call.arguments)
        }
    };
    if content.trim().is_empty() || answer.items.iter().any(is_in) {
        return Ok(());
    }
    Err(format!("{content:?} is not in {:#?}", answer.items))
}

/// The letters that no repair touches.
fn letters(json: &str) -> String {
    let touched = "0123456789abcdefABCDEFNaInityolurTs";
    json.chars()
        .filter(|char| char.is_alphanumeric() && !touched.contains(*char))
        .collect()
}

/// Any tokens at all.
pub fn any_tokens() -> Result<(), String> {
    let token = prop_oneof![
        1 => 0..201_200u32,
        1 => 199_998..200_019u32,
        1 => any::<u32>(),
    ];
    let tokens = prop::collection::vec(token, 0..60);
    let count = Count {
        sample: 2_000,
        full: 200_000,
    };
    holds("lists of any tokens read", count, &tokens, |tokens| {
        let answer = read(&["f"], &tokens);
        for call in answer.calls() {
            serde_json::from_str::<Value>(&call.arguments).map_err(|error| error.to_string())?;
        }
        same(answer.parts.len(), tokens.len())
    })
}
