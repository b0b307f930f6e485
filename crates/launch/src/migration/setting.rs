//! A setting of MAX's.

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// `mxfp4` acts on it.
    Honoured,
    /// MAX gets it and acts on it.
    Passed,
    /// The start is refused.
    Refused,
}

/// A flag or a variable of MAX's.
#[derive(Debug)]
pub struct Setting {
    /// A flag's name without its dashes and without `no-`, or a variable's name.
    pub name: &'static str,
    /// What becomes of it.
    pub fate: Fate,
    /// What it does, or why it would do nothing: a phrase that can follow "because".
    pub note: &'static str,
    /// The only values that are not refused. Empty: all of a setting that is honoured or passed, none of one that is
    /// refused. The values of a flag without any are `true`, and `false` of its `--no-` form.
    pub accepted: &'static [&'static str],
    /// Whether it is without effect unless `--telemetry` is given.
    pub telemetry: bool,
}

/// Rows of the tables.
impl Setting {
    pub const fn new(name: &'static str, fate: Fate, note: &'static str) -> Self {
        Self {
            name,
            fate,
            note,
            accepted: &[],
            telemetry: false,
        }
    }

    pub const fn honoured(name: &'static str, note: &'static str) -> Self {
        Self::new(name, Fate::Honoured, note)
    }

    pub const fn passed(name: &'static str, note: &'static str) -> Self {
        Self::new(name, Fate::Passed, note)
    }

    pub const fn refused(name: &'static str, note: &'static str) -> Self {
        Self::new(name, Fate::Refused, note)
    }

    pub const fn only(mut self, accepted: &'static [&'static str]) -> Self {
        self.accepted = accepted;
        self
    }

    pub const fn with_telemetry(mut self) -> Self {
        self.telemetry = true;
        self
    }

    /// Whether a start with this value is refused.
    pub fn refuses(&self, value: &str) -> bool {
        let accepted = || {
            let mut known = self.accepted.iter();
            known.any(|known| known.eq_ignore_ascii_case(value.trim()))
        };
        match self.fate {
            Fate::Refused => !accepted(),
            Fate::Honoured | Fate::Passed => !self.accepted.is_empty() && !accepted(),
        }
    }
}
