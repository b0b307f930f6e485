//! MAX's flags: ours, those of the configuration, those of the user.

use std::ffi::{OsStr, OsString};

/// Flags that mean the same; the first is the name they are kept under.
const SYNONYMS: [(&str, &str); 1] = [("model", "model-path")];

/// A command line of MAX, cut into flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags(Vec<Flag>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Flag {
    /// The name without dashes and without a leading `no-`; empty for words before the first flag.
    name: String,
    /// The flag as it was written, and its values.
    words: Vec<OsString>,
}

impl Flags {
    /// Cuts a command line: a flag owns the words up to the next one.
    pub fn parse<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Self {
        let mut flags: Vec<Flag> = Vec::new();
        for word in words.into_iter().map(Into::into) {
            let name = name_of(&word);
            match (name, flags.last_mut()) {
                (None, Some(flag)) => flag.words.push(word),
                (name, _) => flags.push(Flag {
                    name: name.unwrap_or_default(),
                    words: vec![word],
                }),
            }
        }
        Self(flags)
    }

    /// Adds `--name value`, or `--name` alone.
    pub fn push(&mut self, name: &str, value: Option<OsString>) {
        let mut words = vec![OsString::from(format!("--{name}"))];
        words.extend(value);
        self.0.push(Flag {
            name: name.into(),
            words,
        });
    }

    /// Whether the flag is given.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|flag| flag.name == name)
    }

    /// Whether the flag is given as `--no-name`.
    pub fn denies(&self, name: &str) -> bool {
        let denial = format!("--no-{name}");
        self.0.iter().any(|flag| flag.words[0] == *denial)
    }

    /// The flag's value; the last one counts, as with MAX.
    pub fn value(&self, name: &str) -> Option<OsString> {
        let flag = self.0.iter().rev().find(|flag| flag.name == name)?;
        if let Some(text) = flag.words[0].to_str()
            && let Some((_, value)) = text.split_once('=')
        {
            return Some(value.into());
        }
        flag.words.get(1).cloned()
    }

    /// All words that are given as the flag's values.
    pub fn values(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|flag| flag.name == name);
        named
            .flat_map(|flag| {
                let first = flag.words[0].to_string_lossy();
                let inline = first.split_once('=').map(|(_, value)| value.to_owned());
                let rest = flag.words[1..].iter().map(|w| w.to_string_lossy().into());
                inline.into_iter().chain(rest)
            })
            .collect()
    }

    /// How the flag is given the last time, which is the one that counts: its name as it was written, and its value.
    pub fn last(&self, name: &str) -> Option<(String, Option<String>)> {
        let flag = self.0.iter().rev().find(|flag| flag.name == name)?;
        let word = flag.words[0].to_string_lossy();
        if let Some((word, value)) = word.split_once('=') {
            return Some((word.to_owned(), Some(value.to_owned())));
        }
        let value = flag.words.get(1);
        Some((
            word.to_string(),
            value.map(|value| value.to_string_lossy().into_owned()),
        ))
    }

    /// These flags without those that `drop` names.
    pub fn without(mut self, drop: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|flag| !drop(&flag.name));
        self
    }

    /// These flags and, after them, `others`, each of which replaces all of that name here.
    pub fn overridden_by(mut self, others: Self) -> Self {
        self.0
            .retain(|flag| flag.name.is_empty() || !others.has(&flag.name));
        self.0.extend(others.0);
        self
    }

    /// The words of the command line.
    pub fn into_words(self) -> impl Iterator<Item = OsString> {
        self.0.into_iter().flat_map(|flag| flag.words)
    }
}

fn name_of(word: &OsStr) -> Option<String> {
    let word = word.to_string_lossy();
    let name = word.strip_prefix("--")?;
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    let name = name.strip_prefix("no-").unwrap_or(name);
    let same = SYNONYMS.iter().find(|(_, other)| *other == name);
    Some(same.map_or(name, |(kept, _)| kept).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(ours: &[&str], users: &[&str]) -> String {
        let merged = Flags::parse(ours).overridden_by(Flags::parse(users));
        let words: Vec<_> = merged
            .into_words()
            .map(|word| word.into_string().unwrap())
            .collect();
        words.join(" ")
    }

    #[test]
    fn what_the_user_gives_replaces_ours_and_nothing_is_given_twice() {
        for (ours, users, expect) in [
            (
                &["--port", "8000"][..],
                &["--port", "9000"][..],
                "--port 9000",
            ),
            (&["--port", "8000"], &["--port=9000"], "--port=9000"),
            (
                &["--model", "a", "--force"],
                &["--model-path", "b"],
                "--force --model-path b",
            ),
            (&["--force"], &["--no-force"], "--no-force"),
            (
                &["--custom-architectures", "a", "--custom-architectures", "b"],
                &["--custom-architectures", "c"],
                "--custom-architectures c",
            ),
            (
                &["--host", "h"],
                &["--max-length", "-1"],
                "--host h --max-length -1",
            ),
            (&["--host", "h"], &[], "--host h"),
            (&["--host", "h"], &["stray", "--x"], "--host h stray --x"),
        ] {
            assert_eq!(merged(ours, users), expect, "{ours:?} {users:?}");
        }
    }

    #[test]
    fn a_value_is_read_in_both_spellings() {
        let flags = Flags::parse([
            "--port",
            "1",
            "--model-path=m",
            "--port=2",
            "--force",
            "--devices",
        ]);
        assert_eq!(flags.value("port"), Some("2".into()));
        assert_eq!(flags.value("model"), Some("m".into()));
        assert_eq!(flags.value("force"), None);
        assert_eq!(flags.value("devices"), None);
        assert_eq!(flags.value("host"), None);
        assert_eq!(flags.values("port"), ["1", "2"]);
        let dropped = |name: &str| ["port", "model"].contains(&name);
        let rest: Vec<_> = flags.without(dropped).into_words().collect();
        assert_eq!(rest, ["--force", "--devices"]);
    }
}
