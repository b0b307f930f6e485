//! Who answers HTTP.

use mxfp4_env::Layout;

/// Our architecture: its decode steps can be captured as device graphs, and our front end speaks its format.
pub const OURS: &str = "mxfp4.gpt_oss";

/// Who answers HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Frontend {
    /// mxfp4 itself, with MAX as the engine
    Mxfp4,
    /// MAX's own server
    Max,
}

impl Frontend {
    /// The one for these architectures: ours speaks the format of this project's alone.
    pub fn of(layout: Layout, mut architectures: impl Iterator<Item = String>) -> Self {
        if layout == Layout::Standalone && architectures.any(|name| name == OURS) {
            Self::Mxfp4
        } else {
            Self::Max
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_answers_for_our_architecture_alone() {
        let of = |layout, names: &[&str]| {
            Frontend::of(layout, names.iter().map(|name| name.to_string()))
        };
        assert_eq!(of(Layout::Standalone, &["other", OURS]), Frontend::Mxfp4);
        assert_eq!(of(Layout::Standalone, &["other"]), Frontend::Max);
        assert_eq!(of(Layout::Standalone, &[]), Frontend::Max);
        assert_eq!(of(Layout::Modular, &[OURS]), Frontend::Max);
    }
}
