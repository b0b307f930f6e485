use std::{fmt, str::FromStr};

use crate::Gpu;

/// The value of `--devices`, in MAX's spelling: `gpu`, `gpu:all`, `gpu:0,1` or `cpu`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceSelection {
    /// No GPU at all.
    Cpu,
    /// The first visible GPU.
    First,
    /// Every visible GPU.
    All,
    /// These, by their number among the visible ones.
    Listed(Vec<usize>),
}

/// Why a selection cannot be read or has nothing to select.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Not one of the four forms.
    #[error(
        "'{0}' is not a device list: write gpu, gpu:all, or gpu: and numbers with commas, as in gpu:0,1"
    )]
    Malformed(String),
    /// A number occurs twice.
    #[error("device {0} is listed twice")]
    Repeated(usize),
    /// A number that no visible device has.
    #[error("device {asked} does not exist: {}", visible_count(*.visible))]
    Missing {
        /// The number asked for.
        asked: usize,
        /// How many devices are visible.
        visible: usize,
    },
}

fn visible_count(count: usize) -> String {
    match count {
        0 => "no GPU is visible".into(),
        1 => "one GPU is visible, number 0".into(),
        n => format!("{n} GPUs are visible, numbers 0 to {}", n - 1),
    }
}

impl FromStr for DeviceSelection {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let malformed = || SelectionError::Malformed(text.to_owned());
        match text.to_ascii_lowercase().as_str() {
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::First),
            "gpu:all" => Ok(Self::All),
            lower => {
                let mut numbers = Vec::new();
                for part in lower.strip_prefix("gpu:").ok_or_else(malformed)?.split(',') {
                    let number = part.trim().parse().map_err(|_| malformed())?;
                    if numbers.contains(&number) {
                        return Err(SelectionError::Repeated(number));
                    }
                    numbers.push(number);
                }
                Ok(Self::Listed(numbers))
            }
        }
    }
}

impl fmt::Display for DeviceSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::First => f.write_str("gpu"),
            Self::All => f.write_str("gpu:all"),
            Self::Listed(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
                write!(f, "gpu:{}", numbers.join(","))
            }
        }
    }
}

impl DeviceSelection {
    /// The devices meant, out of those that are visible. Empty only for `cpu`, and for `gpu:all` where there is none.
    pub fn select(&self, visible: &[Gpu]) -> Result<Vec<Gpu>, SelectionError> {
        let numbered = |asked: usize| {
            visible.get(asked).cloned().ok_or(SelectionError::Missing {
                asked,
                visible: visible.len(),
            })
        };
        match self {
            Self::Cpu => Ok(Vec::new()),
            Self::First => Ok(vec![numbered(0)?]),
            Self::All => Ok(visible.to_vec()),
            Self::Listed(numbers) => numbers.iter().map(|&n| numbered(n)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(count: u32) -> Vec<Gpu> {
        (0..count)
            .map(|index| Gpu {
                index,
                uuid: format!("GPU-{index}"),
                name: "NVIDIA H200".into(),
                capability: (9, 0),
                memory_total: None,
                memory_free: None,
            })
            .collect()
    }

    #[test]
    fn the_four_forms_are_read_and_written_back() {
        for text in ["cpu", "gpu", "gpu:all", "gpu:0,1", "gpu:3"] {
            assert_eq!(text.parse::<DeviceSelection>().unwrap().to_string(), text);
        }
        assert_eq!("GPU:1".parse(), Ok(DeviceSelection::Listed(vec![1])));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "gpu:", "gpu:a", "gpu:0,", "gpu:-1", "cuda:0", "0"] {
            let error = text.parse::<DeviceSelection>().unwrap_err();
            assert!(error.to_string().contains("gpu:0,1"), "{text}: {error}");
        }
        assert_eq!(
            "gpu:1,1".parse::<DeviceSelection>(),
            Err(SelectionError::Repeated(1))
        );
    }

    #[test]
    fn selection_is_by_number_among_the_visible() {
        let pick = |text: &str, count| {
            let selection: DeviceSelection = text.parse().unwrap();
            selection
                .select(&gpus(count))
                .map(|gpus| gpus.iter().map(|gpu| gpu.index).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        assert_eq!(pick("gpu", 2), Ok(vec![0]));
        assert_eq!(pick("gpu:all", 2), Ok(vec![0, 1]));
        assert_eq!(pick("gpu:1,0", 2), Ok(vec![1, 0]));
        assert_eq!(pick("cpu", 0), Ok(vec![]));
        assert_eq!(
            pick("gpu", 0),
            Err("device 0 does not exist: no GPU is visible".into())
        );
        assert_eq!(
            pick("gpu:2", 2),
            Err("device 2 does not exist: 2 GPUs are visible, numbers 0 to 1".into())
        );
    }
}
