//! What a line of MAX's log is worth, and how it is shown.

use crate::log_tail::is_exception;

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// All else.
    Info,
    /// MAX warns.
    Warning,
    /// MAX reports an error, or Python prints one.
    Error,
}

impl Level {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Tells the level of one line after the other: what follows a traceback's first line belongs to it.
#[derive(Debug, Default)]
pub struct Levels {
    in_traceback: bool,
}

impl Levels {
    /// The level of the next line.
    pub fn of(&mut self, line: &str) -> Level {
        if let Some(level) = logged(line) {
            self.in_traceback = false;
            return level;
        }
        if line.starts_with("Traceback (most recent call last)") {
            self.in_traceback = true;
        }
        let is_error = self.in_traceback || is_exception(line) || line.starts_with("Error: ");
        if self.in_traceback && is_exception(line) {
            self.in_traceback = false;
        }
        if is_error { Level::Error } else { Level::Info }
    }
}

/// The level of `12:34:56.789 WARNING: text`.
fn logged(line: &str) -> Option<Level> {
    let (time, rest) = line.split_once(' ')?;
    if !time.starts_with(|c: char| c.is_ascii_digit()) || !time.contains(':') {
        return None;
    }
    let (level, _) = rest.split_once(':')?;
    match level {
        "DEBUG" | "INFO" => Some(Level::Info),
        "WARNING" => Some(Level::Warning),
        "ERROR" | "CRITICAL" => Some(Level::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log_tail::LogTail;
    use crate::phase::Phase;

    #[test]
    fn levels_are_told() {
        let mut levels = Levels::default();
        for (line, expect) in [
            ("15:11:13.281 WARNING: Replacing", Level::Warning),
            ("15:11:13.281 INFO: ERROR: not one", Level::Info),
            ("Starting ASGI metrics server on port 1", Level::Info),
            ("Traceback (most recent call last):", Level::Error),
            ("  File \"x.py\", line 1, in run", Level::Error),
            ("ValueError: no", Level::Error),
            ("bye", Level::Info),
            ("15:11:13.281 CRITICAL: end", Level::Error),
            ("Error: No such option: --x", Level::Error),
        ] {
            assert_eq!(levels.of(line), expect, "{line}");
        }
    }

    proptest! {
        /// Whatever a server prints, nothing panics and nothing reaches the terminal that would act on it.
        #[test]
        fn any_line_is_read(lines in proptest::collection::vec("\\PC*|.*|[0-9:. ]*(INFO|ERROR|WARNING): .*", 0..8)) {
            let (mut levels, mut tail) = (Levels::default(), LogTail::default());
            for line in &lines {
                levels.of(line);
                Phase::begun_by(line);
                tail.push(line);
            }
            prop_assert!(tail.reason().is_none_or(|reason| lines.iter().any(|line| line.contains(reason))));
            tail.remedy();
        }
    }
}
