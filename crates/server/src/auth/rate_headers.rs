//! `x-ratelimit-*`, as OpenAI writes them.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::meter::{Left, Meter};

struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
const TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

/// All of them, for pages that may read them.
pub(crate) fn names() -> [HeaderName; 6] {
    let [requests, tokens] =
        [REQUESTS, TOKENS].map(|names| [names.limit, names.remaining, names.reset]);
    let [a, b, c] = requests;
    let [d, e, f] = tokens;
    [a, b, c, d, e, f]
}

/// Says what a key has left, of what is limited.
pub(super) fn write(headers: &mut HeaderMap, meter: &Meter) {
    for (names, left) in [REQUESTS, TOKENS].into_iter().zip(meter.left()) {
        let Some(Left {
            most,
            remaining,
            reset,
        }) = left
        else {
            continue;
        };
        headers.insert(names.limit, most.into());
        headers.insert(names.remaining, remaining.into());
        if let Ok(reset) = HeaderValue::try_from(duration(reset)) {
            headers.insert(names.reset, reset);
        }
    }
}

/// As `1m30s`, `1.5s` or `20ms`.
fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
    let seconds = rest as f64 / 1e3;
    match (minutes, rest) {
        (0, ..1000) => format!("{rest}ms"),
        (0, _) => format!("{seconds}s"),
        (_, _) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_clients_read_them() {
        for (milliseconds, text) in [
            (0, "0ms"),
            (20, "20ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (90_500, "1m30.5s"),
            (3_600_000, "60m0s"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }
}
