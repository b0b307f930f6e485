//! The vocabulary beside the oracle's.

use mxfp4_harmony::testing::published_vocabulary;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::oracle::oracle;
use crate::text::text;

pub fn plain_text() -> Result<(), String> {
    let vocabulary = published_vocabulary()?;
    let n = std::env::var("N")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000);
    let mut runner = TestRunner::new(Config {
        cases: n,
        ..Config::default()
    });
    runner
        .run(&text(), |text| {
            let ours = vocabulary.encode(&text);
            prop_assert_eq!(&ours, &oracle().tokenizer().encode_ordinary(&text));
            prop_assert_eq!(vocabulary.decode(&ours), text);
            Ok(())
        })
        .map_err(|error| error.to_string())
}

pub fn every_character() -> Result<(), String> {
    let vocabulary = published_vocabulary()?;
    let mut wrong = Vec::new();
    for char in '\0'..=char::MAX {
        let text = format!("a{char}B {char}'{char} {char}{char}1'l{char}\n{char}.{char}A");
        if vocabulary.encode(&text) != oracle().tokenizer().encode_ordinary(&text) {
            wrong.push(format!("U+{:04X}", char as u32));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} characters encode otherwise: {}",
            wrong.len(),
            wrong.join(" ")
        ))
    }
}
