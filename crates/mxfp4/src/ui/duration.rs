//! Spans of time as a person writes them.

use std::time::Duration;

use jiff::SignedDuration;

/// What is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDuration {
    /// It does not look like one.
    #[error("`{0}` is no time span: write `90s`, `5m` or `1h 30m`")]
    Form(String),
    /// It is too short or too long.
    #[error("`{0}` is not between 1ms and 24h")]
    Range(String),
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `90s`, `5m`, `1h 30m`, `250ms`: more than nothing, and less than a day.
pub fn parse(text: &str) -> Result<Duration, NoDuration> {
    let wrong = || NoDuration::Form(text.to_owned());
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(duration).map_err(|_| wrong())?;
    match duration.is_zero() || duration >= DAY {
        true => Err(NoDuration::Range(text.to_owned())),
        false => Ok(duration),
    }
}

/// The same, and a bare number of seconds, which MAX and older command lines write; 0 too.
pub fn parse_or_seconds(text: &str) -> Result<Duration, NoDuration> {
    match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|time| *time < DAY || seconds == DAY.as_secs_f64())
            .ok_or_else(|| NoDuration::Range(text.to_owned())),
        Err(_) => parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_a_bare_number() {
        for (text, millis) in [("90", 90_000), ("0.5", 500), ("0", 0), ("90s", 90_000)] {
            let time = parse_or_seconds(text);
            assert_eq!(time, Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "x", "-1", "nan", "inf", "1e400", "48h", "172800"] {
            assert!(parse_or_seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_of_time() {
        for (text, millis) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("250ms", 250),
            ("1.5s", 1500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "5",
            "-5s",
            "0s",
            "soon",
            "5 apples",
            "48h",
            "99999999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
