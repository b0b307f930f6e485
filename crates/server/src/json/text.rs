//! The text of a body, before it is read as JSON.

use std::borrow::Cow;

/// Why a body is no JSON text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

/// The body as text whose every string is Unicode.
///
/// JSON may name half of a surrogate pair (`\ud800`), which is no character: JavaScript
/// and Python send it when they cut a text inside a character. It becomes U+FFFD, as
/// in any decoder that replaces. A byte order mark is dropped.
pub(crate) fn readable(body: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Malformed(format!(
            "the body is not UTF-8: byte {} begins no character",
            error.valid_up_to()
        ))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !has_surrogate(text.as_bytes()) {
        return Ok(Cow::Borrowed(text));
    }
    Ok(replace_lone_surrogates(text))
}

/// Whether an escape of a surrogate, lone or not, may occur.
fn has_surrogate(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\\', text).any(|at| {
        matches!(text.get(at + 1), Some(b'u')) && matches!(text.get(at + 2), Some(b'd' | b'D'))
    })
}

fn replace_lone_surrogates(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        let Some(unit) = escaped_unit(bytes, at) else {
            // Two bytes are one escape, so that `\\ud800` is not taken for `\ud800`.
            at = (at + 2).min(bytes.len());
            continue;
        };
        let paired = (0xd800..0xdc00).contains(&unit)
            && escaped_unit(bytes, at + 6).is_some_and(|low| (0xdc00..0xe000).contains(&low));
        if paired {
            at += 12;
            continue;
        }
        if (0xd800..0xe000).contains(&unit) {
            out.push_str(&text[kept..at]);
            out.push_str("\\ufffd");
            kept = at + 6;
        }
        at += 6;
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

/// The UTF-16 unit that an escape at `at` names.
fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> String {
        let text = readable(body.as_bytes()).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        assert_eq!(read(r#""a\ud800b""#), "a\u{fffd}b");
        assert_eq!(read(r#""\udc00""#), "\u{fffd}");
        assert_eq!(read(r#""\ud800\ud800\udc00""#), "\u{fffd}\u{10000}");
        assert_eq!(read(r#""\uD83D\uDE00""#), "😀");
        assert_eq!(read(r#""\\ud800""#), "\\ud800");
        assert_eq!(read(r#""\\\ud800""#), "\\\u{fffd}");
    }

    #[test]
    fn what_is_whole_is_not_copied() {
        assert!(matches!(
            readable(br#""\ud83d\ude00""#).unwrap(),
            Cow::Borrowed(_)
        ));
        assert!(matches!(
            readable(b"\"plain\"").unwrap(),
            Cow::Borrowed("\"plain\"")
        ));
    }

    #[test]
    fn a_cut_escape_is_left_to_the_parser() {
        for body in [r#""\ud8"#, r#""\ud800\u"#, "\"\\", r#""\udzzz""#] {
            let text = readable(body.as_bytes()).unwrap();
            assert!(serde_json::from_str::<String>(&text).is_err(), "{body}");
        }
    }

    #[test]
    fn other_bytes_are_refused_with_their_place() {
        assert_eq!(
            readable(b"\"ab\xff\""),
            Err(Malformed(
                "the body is not UTF-8: byte 3 begins no character".into()
            ))
        );
        assert_eq!(readable("\u{feff}{}".as_bytes()).unwrap(), "{}");
    }
}
