//! The vocabulary beside the oracle's.

use mxfp4_harmony::testing::published_vocabulary;

use crate::oracle::oracle;
use crate::property::{Count, holds, same};
use crate::text::text;

pub fn plain_text() -> Result<(), String> {
    let vocabulary = published_vocabulary()?;
    let count = Count {
        sample: 500,
        full: 100_000,
    };
    holds("texts encoded as by the oracle", count, &text(), |text| {
        let ours = vocabulary.encode(&text);
        same(&ours, &oracle().tokenizer().encode_ordinary(&text))?;
        same(vocabulary.decode(&ours), text)
    })
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
