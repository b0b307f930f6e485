//! Keys of a command line, kept from who looks at `ps`.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;

use mxfp4_process::Command;

/// The variable that has the keys of a server, or the key for one.
pub const VARIABLE: &str = "MXFP4_API_KEY";

/// The flag that has them, too.
const FLAG: &str = "--api-key";

/// The commands that know it.
const COMMANDS: [&str; 3] = ["serve", "bench", "chat"];

/// Global flags that the next word belongs to.
const WITH_VALUE: [&str; 2] = ["--root", "--color"];

/// Starts this program anew, in this process, where its command line has a key: anyone may read a command line, and only
/// this user an environment.
pub fn hide() -> anyhow::Result<()> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let Some((kept, keys)) = split(words) else {
        return Ok(());
    };
    let program = std::env::current_exe()?;
    let command = Command::new(program).args(kept).env(VARIABLE, keys);
    Err(command.exec().into())
}

/// The command line without keys, and the keys with commas between them.
fn split(words: Vec<OsString>) -> Option<(Vec<OsString>, OsString)> {
    let mut words = words.into_iter().peekable();
    let mut kept = Vec::new();
    let command = until_command(&mut words, &mut kept)?;
    if !COMMANDS.iter().any(|known| command == *known) {
        return None;
    }
    kept.push(command);
    let mut keys: Vec<OsString> = Vec::new();
    while let Some(word) = words.next() {
        if word == "--" {
            kept.push(word);
            kept.extend(words);
            break;
        }
        match value(&word) {
            Some(key) => keys.push(key.to_owned()),
            // Without its value it is complained of.
            None if word == FLAG => keys.push(words.next()?),
            None => kept.push(word),
        }
    }
    (!keys.is_empty()).then(|| (kept, keys.join(OsStr::new(","))))
}

/// The first word that is no flag and no flag's value.
fn until_command(
    words: &mut Peekable<impl Iterator<Item = OsString>>,
    kept: &mut Vec<OsString>,
) -> Option<OsString> {
    loop {
        let word = words.next()?;
        if !word.as_encoded_bytes().starts_with(b"-") {
            return Some(word);
        }
        let with_value = WITH_VALUE.iter().any(|flag| word == *flag);
        kept.push(word);
        if with_value {
            kept.push(words.next()?);
        }
    }
}

/// The key of `--api-key=KEY`.
fn value(word: &OsStr) -> Option<&OsStr> {
    use std::os::unix::ffi::OsStrExt as _;
    let value = word.as_bytes().strip_prefix(FLAG.as_bytes())?;
    value.strip_prefix(b"=").map(OsStr::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_leave_the_command_line_of_who_knows_them() {
        let split = |line: &str| {
            let words = line.split(' ').map(OsString::from).collect();
            let (kept, keys) = super::split(words)?;
            let kept: Vec<_> = kept.iter().map(|word| word.to_string_lossy()).collect();
            Some((kept.join(" "), keys.to_string_lossy().into_owned()))
        };
        for (line, kept, keys) in [
            ("serve --api-key a", "serve", "a"),
            (
                "-v --root serve --color=never serve --api-key=a --port 1 --api-key b,c",
                "-v --root serve --color=never serve --port 1",
                "a,b,c",
            ),
            (
                "serve --api-key a -- --api-key b",
                "serve -- --api-key b",
                "a",
            ),
            (
                "bench serve --api-key a --url u",
                "bench serve --url u",
                "a",
            ),
            (
                "serve --api-key= --api-key-file f",
                "serve --api-key-file f",
                "",
            ),
        ] {
            assert_eq!(
                split(line),
                Some((kept.to_owned(), keys.to_owned())),
                "{line}"
            );
        }
        for line in [
            "serve --api-key-file f",
            "serve --api-key",
            "run vllm serve --api-key a",
            "serve -- --api-key a",
            "--api-key a serve",
            "--help",
        ] {
            assert_eq!(split(line), None, "{line}");
        }
    }
}
