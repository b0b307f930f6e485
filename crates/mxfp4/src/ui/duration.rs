//! Spans of time as a person writes them.

use std::time::Duration;

use jiff::SignedDuration;

/// `90s`, `5m`, `1h 30m`, `250ms`: more than nothing, and less than a day.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time span: write `90s`, `5m` or `1h 30m`");
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(duration).map_err(|_| wrong())?;
    if duration.is_zero() || duration >= Duration::from_secs(24 * 60 * 60) {
        return Err(format!("`{text}` is not between 1ms and 24h"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

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
