//! Random ways through tags.

use mxfp4_harmony::grammar::{
    Calls, Grammar, Limits, Problem, Schema, SchemaError, Text, text_tag,
};
use mxfp4_harmony::testing::published_vocabulary;
use mxfp4_harmony::{Event, Harmony};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use crate::schemas;
use crate::walker::Walker;

/// How many schemas and sets of functions are tried; a tenth of them without
/// `MXFP4_GRAMMAR_FULL`.
const SCHEMAS: usize = 300;
const FUNCTIONS: usize = 50;

/// The steps that are drawn freely before a walk goes to its end.
const FREE: [usize; 3] = [0, 12, 60];

fn count(full: usize) -> usize {
    match std::env::var_os("MXFP4_GRAMMAR_FULL") {
        Some(_) => full,
        None => full / 10,
    }
}

/// The same values in each run.
fn draw<T>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut one = || strategy.new_tree(&mut runner).expect("a value").current();
    (0..count).map(|_| one()).collect()
}

pub fn harmony() -> Result<Harmony, String> {
    Harmony::new(published_vocabulary()?).map_err(|error| error.to_string())
}

/// What a client gets of an answer.
#[derive(Debug, Default)]
pub struct Answer {
    pub content: String,
    pub calls: Vec<(String, String)>,
}

pub fn read(harmony: &Harmony, offered: &[String], tokens: &[u32]) -> Answer {
    let mut answer = Answer::default();
    let mut reader = harmony.reader(offered);
    let mut tell = |event: Event<'_>| match event {
        Event::Content(text) => answer.content.push_str(text),
        Event::Call { name, arguments } => answer.calls.push((name, arguments)),
        _ => {}
    };
    for token in tokens {
        reader.push(*token, &mut tell);
    }
    reader.finish(&mut tell);
    answer
}

pub fn answers(walker: &Walker) -> Result<(), String> {
    let harmony = harmony()?;
    let (mut tried, mut walked) = (0, 0);
    for schema in draw(schemas::usual(), 4 * count(SCHEMAS)) {
        let lowered = match Schema::read(&schema, &mut Limits::default()) {
            Ok(lowered) => lowered,
            Err(error) => {
                allowed(&schema, &error)?;
                continue;
            }
        };
        let tag = harmony.structural_tag(&Grammar::answer(Text::Json(lowered)));
        for (seed, free) in FREE.into_iter().enumerate() {
            let seed = (tried * FREE.len() + seed) as u64;
            let about = |error| format!("{schema}: {error}");
            let tokens = walker.walk(&tag, seed, free, false).map_err(about)?;
            let answer = read(&harmony, &[], &tokens);
            walker
                .validate(&schema, &answer.content)
                .map_err(|error| format!("{schema}: {:?}: {error}", answer.content))?;
            walked += 1;
        }
        tried += 1;
        if tried == count(SCHEMAS) {
            println!("{tried} schemas, {walked} walks");
            return Ok(());
        }
    }
    Err(format!("of the schemas only {tried} are taken"))
}

/// Whether a usual schema may be refused: where it has another meaning beside what is merged.
fn allowed(schema: &Value, error: &SchemaError) -> Result<(), String> {
    match error.problem {
        Problem::Beside { .. } | Problem::Empty(_) | Problem::Overlap => Ok(()),
        _ => Err(format!("{schema}: {}: {error}", error.path)),
    }
}

pub fn calls(walker: &Walker) -> Result<(), String> {
    let harmony = harmony()?;
    let names = prop::collection::hash_set("[a-zA-Z0-9_-]{1,64}", 1..5);
    let sets = (
        names,
        prop::collection::vec(schemas::arguments(), 5),
        any::<bool>(),
    );
    let mut walked = 0;
    for (at, (names, raw, several)) in draw(sets, count(FUNCTIONS)).into_iter().enumerate() {
        let mut functions = Vec::new();
        let mut schemas = Vec::new();
        for (name, raw) in names.into_iter().zip(raw) {
            let read = Schema::read(&raw, &mut Limits::default()).ok();
            if let Some(schema) = read.and_then(Schema::object) {
                functions.push((name.clone(), schema.into()));
                schemas.push((name, raw));
            }
        }
        if functions.is_empty() {
            functions.push(("nothing".to_owned(), Schema::empty_object().into()));
            schemas.push((
                "nothing".to_owned(),
                serde_json::json!({"maxProperties": 0}),
            ));
        }
        let offered: Vec<_> = functions.iter().map(|(name, _)| name.clone()).collect();
        let tag = harmony.structural_tag(&Grammar::call(Calls { functions, several }));
        for (seed, free) in FREE.into_iter().enumerate() {
            let about = |error| format!("{schemas:?}: {error}");
            let seed = (at * FREE.len() + seed) as u64;
            let tokens = walker.walk(&tag, seed, free, false).map_err(about)?;
            let answer = read(&harmony, &offered, &tokens);
            if answer.calls.is_empty() || (!several && answer.calls.len() > 1) {
                let text = harmony.vocabulary().decode(&tokens);
                return Err(format!("{} calls of {text:?}", answer.calls.len()));
            }
            for (name, arguments) in &answer.calls {
                let (_, schema) = schemas
                    .iter()
                    .find(|(each, _)| each == name)
                    .ok_or(format!("{name} was not offered"))?;
                walker
                    .validate(schema, arguments)
                    .map_err(|error| format!("{schema}: {arguments}: {error}"))?;
            }
            walked += 1;
        }
    }
    println!("{} sets of functions, {walked} walks", count(FUNCTIONS));
    Ok(())
}

/// Keywords beside each other that nobody thought of.
pub fn wild(walker: &Walker) -> Result<(), String> {
    let forbidden = published_vocabulary()?.special_ids().to_vec();
    let mut taken = 0;
    let schemas = draw(schemas::wild(), 20 * count(SCHEMAS));
    for (seed, schema) in schemas.iter().enumerate() {
        let Ok(lowered) = Schema::read(schema, &mut Limits::default()) else {
            continue;
        };
        // Which patterns go with which lengths is for xgrammar to say.
        let text = lowered.value().to_string();
        if text.contains("\"pattern\"") && text.contains("Length\"") {
            continue;
        }
        let tag = text_tag(&Text::Json(lowered.clone()), &forbidden);
        let about = |error| format!("{schema} as {}: {error}", lowered.value());
        let tokens = walker.walk(&tag, seed as u64, 8, true).map_err(about)?;
        let text = published_vocabulary()?.decode(&tokens[..tokens.len() - 1]);
        walker
            .validate(schema, &text)
            .map_err(|error| format!("{schema} as {}: {text}: {error}", lowered.value()))?;
        taken += 1;
    }
    println!("{taken} of {} schemas are taken", schemas.len());
    if taken * 20 < schemas.len() {
        return Err(format!("only {taken} of {} are taken", schemas.len()));
    }
    Ok(())
}

/// Whether a text is of a form.
type IsIt<'a> = dyn Fn(&str) -> bool + 'a;

pub fn texts(walker: &Walker) -> Result<(), String> {
    let harmony = harmony()?;
    let vocabulary = harmony.vocabulary();
    let choice = ["yes", "yes, but", "no", "été"].map(str::to_owned).to_vec();
    let cases: [(Text, &IsIt<'_>); 3] = [
        (Text::Choice(choice.clone()), &|text| {
            choice.iter().any(|each| each == text)
        }),
        (Text::Regex("[a-c]{2,4}-\\d+".into()), &|text| {
            let (letters, digits) = text.split_once('-').unwrap_or_default();
            (2..=4).contains(&letters.len())
                && !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit())
        }),
        (
            Text::Ebnf("root ::= \"(\" root \")\" | \"x\"".into()),
            &|text| {
                let open = text.matches('(').count();
                text == format!("{}x{}", "(".repeat(open), ")".repeat(open))
            },
        ),
    ];
    for (text, is_it) in cases {
        let raw = text_tag(&text, vocabulary.special_ids());
        let chat = harmony.structural_tag(&Grammar::answer(text));
        for seed in 0..10 {
            let tokens = walker.walk(&raw, seed, 6, true)?;
            let answer = vocabulary.decode(&tokens[..tokens.len() - 1]);
            if !is_it(&answer) {
                return Err(format!("{answer:?} raw"));
            }
            let answer = read(&harmony, &[], &walker.walk(&chat, seed, 20, false)?).content;
            if !is_it(&answer) {
                return Err(format!("{answer:?} in a chat"));
            }
        }
    }
    Ok(())
}
