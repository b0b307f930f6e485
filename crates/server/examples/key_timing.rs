//! Whether the time that a wrong key takes tells how much of it was right.
//!
//! ```text
//! cargo run -p mxfp4-server --example key_timing [SAMPLES [KEYS]]
//! ```
//!
//! A sample is the time of so many checks of one key. Keys that are wrong in different places take turns in an order that is
//! drawn. For each it prints the median, and Welch's t beside keys that are wrong in the first character, after the slowest
//! tenth of all samples is left out: that is what else the machine did. By the usual measure (dudect's) a difference shows
//! where t is beyond 4.5.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::time::Instant;

use mxfp4_server::{KeySource, Keys, Secret};

/// Checks in a sample.
const CHECKS: u32 = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse());
    let samples: usize = numbers.next().transpose()?.unwrap_or(100_000);
    let count: usize = numbers.next().transpose()?.unwrap_or(1);
    let random = RandomState::new();
    let key = |number: usize| {
        let part = |part| format!("{:016x}", random.hash_one((number, part)));
        format!("sk-{}{}{}{}", part(0), part(1), part(2), part(3))
    };
    let right = key(0);
    let keys = Keys::new(KeySource {
        keys: (0..count).map(|number| Secret::new(key(number))).collect(),
        ..KeySource::default()
    })?;
    let length = right.len();
    let asked = [
        ("wrong from the first character", wrong_at(&right, 0)),
        ("the same once more", wrong_at(&right, 0)),
        ("wrong from the middle", wrong_at(&right, length / 2)),
        ("wrong in the last character", wrong_at(&right, length - 1)),
        ("another of the same length", key(count)),
        ("right", right),
    ];
    let times = measure(
        &keys,
        &asked.each_ref().map(|(_, key)| key.as_bytes()),
        samples,
        &random,
    );
    println!("{count} keys, {samples} samples of {CHECKS} checks each");
    for ((name, _), own) in asked.iter().zip(&times) {
        let median = own[own.len() / 2] / f64::from(CHECKS);
        println!(
            "{name:32} median {median:7.1} ns   t {:6.2}",
            welch(&times[0], own)
        );
    }
    Ok(())
}

/// The key with other characters from there on.
fn wrong_at(key: &str, place: usize) -> String {
    let other = |(index, character): (usize, char)| match character {
        character if index < place => character,
        '0' => '1',
        _ => '0',
    };
    key.chars().enumerate().map(other).collect()
}

/// The times of each key in nanoseconds, sorted, without the slowest.
fn measure<const N: usize>(
    keys: &Keys,
    asked: &[&[u8]; N],
    samples: usize,
    random: &RandomState,
) -> [Vec<f64>; N] {
    let mut all = Vec::with_capacity(samples);
    for number in 0..samples {
        let which = random.hash_one(number) as usize % N;
        let start = Instant::now();
        for _ in 0..CHECKS {
            black_box(keys.accepts(black_box(asked[which])));
        }
        all.push((which, start.elapsed().as_nanos() as f64));
    }
    all.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    all.truncate(samples - samples / 10);
    std::array::from_fn(|which| {
        let own = all.iter().filter(|(of, _)| *of == which);
        own.map(|(_, time)| *time).collect()
    })
}

fn welch(one: &[f64], other: &[f64]) -> f64 {
    let about = |times: &[f64]| {
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let squares = times.iter().map(|time| (time - mean).powi(2));
        (mean, squares.sum::<f64>() / (count - 1.0) / count)
    };
    let ((one, of_one), (other, of_other)) = (about(one), about(other));
    match (of_one + of_other).sqrt() {
        0.0 => 0.0,
        error => (one - other) / error,
    }
}
