//! What a benchmark program prints: one JSON object a line.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize};

/// A line of a benchmark program.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Measurement {
    /// What the GPU can do at most.
    Limit(Limit),
    /// What the kernel does.
    Row(Row),
}

/// What the GPU can do at most, as measured in the same run.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "limit", rename_all = "lowercase")]
pub enum Limit {
    /// Reading memory.
    Read {
        /// 10^9 bytes a second.
        #[serde(deserialize_with = "positive")]
        gbs: f64,
    },
    /// Multiplying dense bf16 matrices.
    Matmul {
        /// 10^12 operations a second.
        #[serde(deserialize_with = "positive")]
        tflops: f64,
    },
}

/// One shape, timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Experts of the layer.
    pub experts: u32,
    /// Tokens of the batch.
    pub tokens: NonZeroU32,
    /// How tokens were assigned to experts.
    pub routing: String,
    /// Experts that have tokens.
    pub active: u32,
    /// Which part of the layer.
    pub projection: Projection,
    /// Microseconds of the median call.
    #[serde(deserialize_with = "positive")]
    pub median_us: f64,
    /// The 10th percentile.
    #[serde(deserialize_with = "positive")]
    pub low_us: f64,
    /// The 90th percentile.
    #[serde(deserialize_with = "positive")]
    pub high_us: f64,
    /// Packed weights of the active experts.
    pub bytes: NonZeroU64,
    /// Operations on routed rows.
    pub flop: NonZeroU64,
    /// What else the program says, kept in the record.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// A product of an expert layer, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// Into the hidden layer, with SwiGLU.
    GateUp,
    /// Out of it, with the bias.
    Down,
    /// From the router to the weighted sum.
    Layer,
}

/// What makes rows comparable, but for the number of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case<'a> {
    /// Experts of the layer.
    pub experts: u32,
    /// How tokens were assigned to experts.
    pub routing: &'a str,
    /// Which part of the layer.
    pub projection: Projection,
}

impl Measurement {
    /// Reads a line; `None` when it is none of a benchmark's.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

impl Row {
    /// What it has in common with the rows it belongs to.
    pub fn case(&self) -> Case<'_> {
        Case {
            experts: self.experts,
            routing: &self.routing,
            projection: self.projection,
        }
    }

    /// 10^9 bytes of weights a second.
    pub fn gbs(&self) -> f64 {
        self.bytes.get() as f64 / self.median_us / 1e3
    }

    /// 10^12 operations a second.
    pub fn tflops(&self) -> f64 {
        self.flop.get() as f64 / self.median_us / 1e6
    }

    /// Operations for each byte of weights.
    pub fn intensity(&self) -> f64 {
        self.flop.get() as f64 / self.bytes.get() as f64
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::GateUp => "gate_up",
            Self::Down => "down",
            Self::Layer => "layer",
        })
    }
}

/// A number that can be divided by and has a logarithm. JSON knows neither infinities nor NaN.
pub fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number > 0.0 {
        return Ok(number);
    }
    Err(D::Error::invalid_value(
        Unexpected::Float(number),
        &"a number above 0",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"experts":32,"tokens":1,"routing":"balanced","active":4,"projection":"gate_up",
        "median_us":20,"low_us":19.9,"high_us":22.0,"bytes":35251200,"flop":132710400,"calls":20}"#;

    #[test]
    fn a_row_with_what_follows_from_it() {
        let Some(Measurement::Row(row)) = Measurement::parse(ROW) else {
            panic!("{ROW}");
        };
        assert_eq!((row.experts, row.tokens.get(), row.active), (32, 1, 4));
        assert_eq!(row.projection, Projection::GateUp);
        assert_eq!(row.more["calls"], 20);
        // 35.2512 MB in 20 us; 132.7104 Mflop in 20 us.
        assert!((row.gbs() - 1762.56).abs() < 1e-9, "{}", row.gbs());
        assert!((row.tflops() - 6.63552).abs() < 1e-9, "{}", row.tflops());
        assert!((row.intensity() - 3.764_705_88).abs() < 1e-6);
        // What is written is what was read.
        let written = serde_json::to_string(&row).unwrap();
        assert_eq!(Measurement::parse(&written), Some(Measurement::Row(row)));
    }

    #[test]
    fn limits() {
        for (line, limit) in [
            (
                r#"{"limit":"read","gbs":3120.1}"#,
                Limit::Read { gbs: 3120.1 },
            ),
            (
                r#" {"tflops":790, "limit":"matmul", "n":8192}"#,
                Limit::Matmul { tflops: 790.0 },
            ),
        ] {
            assert_eq!(Measurement::parse(line), Some(Measurement::Limit(limit)));
        }
    }

    #[test]
    fn anything_else_is_no_measurement() {
        for line in [
            "",
            "needs Hopper (sm_90)",
            "{",
            "{}",
            "[1]",
            r#"{"limit":"read","gbs":0}"#,
            r#"{"limit":"read","tflops":1}"#,
            r#"{"limit":"write","gbs":1}"#,
            &ROW.replace("gate_up", "gate"),
            &ROW.replace("\"median_us\":20", "\"median_us\":0"),
            &ROW.replace("\"median_us\":20", "\"median_us\":-1"),
            &ROW.replace("\"median_us\":20", "\"median_us\":NaN"),
            &ROW.replace("\"median_us\":20", "\"median_us\":1e999"),
            &ROW.replace("\"tokens\":1", "\"tokens\":0"),
            &ROW.replace("\"bytes\":35251200", "\"bytes\":0"),
            &ROW.replace("\"flop\":132710400", "\"flop\":null"),
            &ROW.replace("\"active\":4,", ""),
        ] {
            assert_eq!(Measurement::parse(line), None, "{line}");
        }
    }
}
