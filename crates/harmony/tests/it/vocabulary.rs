//! The vocabulary beside the oracle's.

use mxfp4_harmony::testing::{published, published_vocabulary, vocabulary_of_wheel};

use crate::oracle::oracle;
use crate::property::{Count, holds, is_full, same};
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
    if !is_full() {
        return Err("skipped: it takes half a minute; scripts/harmony runs it".to_owned());
    }
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

pub fn of_the_wheel() -> Result<(), String> {
    if published().is_none() {
        return Err("skipped: MXFP4_PUBLISHED is not set".to_owned());
    }
    let published = published_vocabulary()?;
    let wheel = vocabulary_of_wheel().map_err(|reason| format!("skipped: {reason}"))?;
    same(wheel.len(), published.len())?;
    for id in 0..published.len() as u32 {
        same(wheel.bytes(id), published.bytes(id))?;
        same(wheel.is_special(id), published.is_special(id))?;
    }
    let count = Count {
        sample: 200,
        full: 20_000,
    };
    holds(
        "texts encoded alike by file and wheel",
        count,
        &text(),
        |text| {
            same(wheel.encode(&text), published.encode(&text))?;
            same(
                wheel.encode_with_special(&text),
                published.encode_with_special(&text),
            )
        },
    )
}
