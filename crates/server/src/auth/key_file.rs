//! A file of keys: a name, a key and its limits in each line.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::digest::Digest;
use super::error::{KeyFault, KeysError};
use super::limits::KeyLimits;
use super::secret::Secret;

/// A line of the file.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) digest: Digest,
    /// What the line says of them.
    pub(super) limits: KeyLimits,
}

/// No file of keys is larger.
const LARGEST: u64 = 16 << 20;
const LONGEST_NAME: usize = 64;

/// The lines of a file.
pub(super) fn read(path: &Path) -> Result<Vec<Line>, KeysError> {
    let text = text(path).map_err(|source| KeysError::Read {
        path: path.to_owned(),
        source,
    })?;
    let lines = parse(&text).map_err(|(line, fault)| KeysError::Line {
        path: path.to_owned(),
        line,
        fault,
    })?;
    if lines.is_empty() {
        return Err(KeysError::None {
            path: path.to_owned(),
        });
    }
    Ok(lines)
}

/// Whether all users of this machine may read a file of secrets.
pub(crate) fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

fn text(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

fn parse(text: &str) -> Result<Vec<Line>, (usize, KeyFault)> {
    // Some editors put a mark before a text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines: Vec<Line> = Vec::new();
    let mut names = HashMap::new();
    let mut keys = HashMap::new();
    for (index, words) in text.lines().enumerate() {
        let number = index + 1;
        let words = words.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        let (line, key) = parse_line(words).map_err(|fault| (number, fault))?;
        if *names.entry(line.name.clone()).or_insert(line.limits) != line.limits {
            return Err((number, KeyFault::Limits));
        }
        if let Some(name) = keys.insert(key, line.name.clone())
            && name != line.name
        {
            return Err((number, KeyFault::Twice));
        }
        lines.push(line);
    }
    Ok(lines)
}

/// A line, and the key in it.
fn parse_line(line: &str) -> Result<(Line, &str), KeyFault> {
    let mut words = line.split_ascii_whitespace();
    let (Some(name), Some(key)) = (words.next(), words.next()) else {
        return Err(KeyFault::Words);
    };
    let is_sane = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > LONGEST_NAME || !name.bytes().all(is_sane) {
        return Err(KeyFault::Name);
    }
    let secret = Secret::new(key);
    if secret.is_short() {
        return Err(KeyFault::Short);
    }
    let line = Line {
        name: name.to_owned(),
        digest: secret.digest()?,
        limits: KeyLimits::read(words).ok_or(KeyFault::Limit)?,
    };
    Ok((line, key))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef";

    #[test]
    fn lines_have_names_keys_and_limits() {
        let text = format!(
            "\u{feff}# ours\r\n\n  alice {KEY}a requests-per-minute=60 parallel-requests=2 \r\nbob\t{KEY}b\n\
             bob {KEY}c\n"
        );
        let lines = parse(&text).unwrap();
        let names: Vec<_> = lines.iter().map(|line| &*line.name).collect();
        assert_eq!(names, ["alice", "bob", "bob"]);
        let expected = KeyLimits {
            requests: NonZeroU32::new(60),
            tokens: None,
            parallel: NonZeroU32::new(2),
        };
        assert_eq!(lines[0].limits, expected);
        assert_eq!(lines[1].limits, KeyLimits::default());
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        for (line, fault) in [
            (KEY.to_owned(), KeyFault::Words),
            (format!("{KEY} alice"), KeyFault::Short),
            ("alice short".to_owned(), KeyFault::Short),
            (format!("a/b {KEY}"), KeyFault::Name),
            (format!("{} {KEY}", "n".repeat(65)), KeyFault::Name),
            (format!("alice {KEY},"), KeyFault::Characters),
            (format!("alice {KEY}ü"), KeyFault::Characters),
            (format!("alice {KEY}{}", "x".repeat(512)), KeyFault::Long),
            (format!("alice {KEY} more"), KeyFault::Limit),
            (
                format!("alice {KEY} requests-per-minute=0"),
                KeyFault::Limit,
            ),
            (
                format!("alice {KEY} requests-per-minute=-1"),
                KeyFault::Limit,
            ),
            (
                format!("alice {KEY} tokens-per-minute=99999999999"),
                KeyFault::Limit,
            ),
            (
                format!("alice {KEY} parallel-requests=1 parallel-requests=1"),
                KeyFault::Limit,
            ),
            (format!("first {KEY}"), KeyFault::Twice),
            (format!("second {KEY}z"), KeyFault::Limits),
        ] {
            let text = format!("second {KEY}s parallel-requests=1\n\nfirstly {KEY}\n{line}\n");
            let text = text.replace(
                "firstly",
                if fault == KeyFault::Twice {
                    "other"
                } else {
                    "first"
                },
            );
            let Err((number, found)) = parse(&text) else {
                panic!("{line:?} is taken");
            };
            assert_eq!((number, found), (4, fault), "{line:?}");
            assert!(!found.to_string().contains(KEY), "{found}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(text in "(\\PC|[ \t\r\n#=]){0,200}") {
            let _ = parse(&text);
        }
    }
}
