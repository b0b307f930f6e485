//! Running a benchmark program, ours or a peer's, and reading what it prints.

use std::collections::VecDeque;

use mxfp4_process::{Command, Outcome, Output, Stream};

use super::measurement::Measurement;

/// How many lines of standard error are kept.
const KEPT: usize = 10;

/// What a program is asked to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Shapes {
    /// The numbers of tokens, with commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..),
          default_value = "1,2,4,8,16,32,64,128,256,512,1024,2048,4096,8192")]
    pub tokens: Vec<u32>,
    /// The numbers of experts, with commas: 32 is GPT-OSS-20B, 128 is 120B
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..),
          default_value = "32")]
    pub experts: Vec<u32>,
    /// How tokens are assigned to experts, with commas: every token to experts at random (balanced), or half of the rows
    /// to two experts (skewed)
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = ["balanced", "skewed"],
          hide_possible_values = true, default_value = "balanced")]
    pub routing: Vec<String>,
}

impl Shapes {
    /// The flags that ask for them.
    pub fn flags(&self) -> Vec<String> {
        let list = |numbers: &[u32]| {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            numbers.join(",")
        };
        [
            ("--tokens", list(&self.tokens)),
            ("--experts", list(&self.experts)),
            ("--routing", self.routing.join(",")),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }
}

/// What becomes of a program's standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// It is passed on.
    PassedOn,
    /// Its last lines are kept.
    Kept,
}

/// Runs `command` to its end and hands on what it measures. Returns how it ended, and what was kept of its errors.
pub fn run(
    command: Command,
    errors: Errors,
    found: &mut dyn FnMut(Measurement),
) -> anyhow::Result<(Outcome, Vec<String>)> {
    let mut kept = VecDeque::new();
    let outcome = command.output(Output::Lines).run(&mut |line| {
        if line.stream == Stream::Stderr && errors == Errors::Kept {
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(line.text);
            return;
        }
        match Measurement::parse(&line.text) {
            Some(measurement) if line.stream == Stream::Stdout => found(measurement),
            _ => eprintln!("{}", line.text),
        }
    })?;
    Ok((outcome, kept.into()))
}
