//! What `mxfp4 bench serve` sends.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use clap::builder::TypedValueParser as _;

/// What is sent.
#[derive(clap::Args)]
pub struct LoadArgs {
    /// How many requests at once, with commas
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..=65_536).try_map(NonZeroU32::try_from),
          default_value = "1,8,64,128")]
    pub concurrency: Vec<NonZeroU32>,
    /// Tokens of each prompt
    #[arg(long, value_name = "TOKENS",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000).try_map(NonZeroU32::try_from),
          default_value = "128")]
    pub input: NonZeroU32,
    /// Tokens of each answer
    #[arg(long, value_name = "TOKENS",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000).try_map(NonZeroU32::try_from),
          default_value = "128")]
    pub output: NonZeroU32,
    /// Tokens of each prompt and each answer, instead of --input and --output; may be given more than once
    #[arg(long, value_name = "INPUT/OUTPUT", conflicts_with_all = ["input", "output"])]
    pub shape: Vec<Shape>,
    /// How many requests for each row [default: four times those at once, and at least 16]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub requests: Option<u32>,
    /// Rounds before each row that are not counted, each of as many requests as are sent at once
    #[arg(long, value_name = "ROUNDS", value_parser = clap::value_parser!(u32).range(..=1000), default_value = "1")]
    pub warmup: u32,
    /// What the prompts are drawn with
    #[arg(long, default_value = "0")]
    pub seed: u64,
}

/// Tokens of a prompt and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Of the prompt.
    pub input: NonZeroU32,
    /// Of the answer.
    pub output: NonZeroU32,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number: NonZeroU32 = text.parse().ok()?;
            (number.get() <= 10_000_000).then_some(number)
        };
        text.split_once('/')
            .and_then(|(input, output)| {
                Some(Self {
                    input: number(input)?,
                    output: number(output)?,
                })
            })
            .ok_or_else(|| "write tokens of the prompt and of the answer, as in 128/128".into())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.input, self.output)
    }
}

impl LoadArgs {
    /// The shapes of the requests.
    pub fn shapes(&self) -> Vec<Shape> {
        match self.shape.is_empty() {
            true => vec![Shape {
                input: self.input,
                output: self.output,
            }],
            false => self.shape.clone(),
        }
    }

    /// The flags that ask for the same.
    pub fn flags(&self) -> Vec<String> {
        let concurrency: Vec<String> = self.concurrency.iter().map(|n| n.to_string()).collect();
        let mut flags = Vec::new();
        for shape in self.shapes() {
            flags.extend(["--shape".into(), shape.to_string()]);
        }
        flags.extend(["--concurrency".into(), concurrency.join(",")]);
        if let Some(requests) = self.requests {
            flags.extend(["--requests".into(), requests.to_string()]);
        }
        flags.extend(["--warmup".into(), self.warmup.to_string()]);
        flags.extend(["--seed".into(), self.seed.to_string()]);
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_two_numbers() {
        let number = |number| NonZeroU32::new(number).unwrap();
        let shape = Shape {
            input: number(2000),
            output: number(256),
        };
        assert_eq!("2000/256".parse(), Ok(shape));
        assert_eq!(shape.to_string(), "2000/256");
        for text in ["", "1", "1/", "/1", "0/1", "1/2/3", "-1/2", "1/99999999999"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}
