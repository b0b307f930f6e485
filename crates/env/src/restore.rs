//! The record of an activation in the environment itself, and how it is undone.
//!
//! An activated shell holds in [`VARIABLE`] what each changed variable was and
//! became. That is all that undoing needs: no file, and not the workspace either,
//! which may be gone by then.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::environment::list::entries;
use crate::{Ambient, Error};

/// The variable that holds the record.
pub const VARIABLE: &str = "MXFP4_RESTORE";

/// The variable that says that the prompt hook activated, and not the user: its
/// value is the workspace's root.
pub const HOOK: &str = "MXFP4_HOOK";

/// The first field; another version of the format has another one.
const FORMAT: &str = "1";

/// Everything else is written as `%XX`, so that a record is a plain word in every
/// shell, and a comma in a path does not end a field.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'_')
    .remove(b'-')
    .remove(b':')
    .remove(b'@');

/// Linux refuses to start any program while one variable is longer than 128 KiB.
const LONGEST: usize = 100_000;

/// What an activation changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    root: PathBuf,
    changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    name: String,
    before: Option<OsString>,
    after: Option<OsString>,
}

/// `ambient` without what an activation recorded in it changed.
pub fn before(ambient: &Ambient) -> Ambient {
    Restore::of(ambient).map_or_else(|| ambient.clone(), |record| record.undone(ambient))
}

impl Restore {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            changes: Vec::new(),
        }
    }

    /// The record in `ambient`. What cannot be read is none: an activation
    /// replaces it.
    pub fn of(ambient: &Ambient) -> Option<Self> {
        Self::decode(ambient.get_nonempty(VARIABLE)?.to_str()?)
    }

    /// The record in `ambient`; one that cannot be read is an error.
    pub fn recorded(ambient: &Ambient) -> Result<Option<Self>, Error> {
        let unreadable = || {
            Error::Record(format!(
                "{VARIABLE} holds no record that this version of mxfp4 can read, so that nothing can be \
                 restored; unset it, or start a new shell"
            ))
        };
        match ambient.get_nonempty(VARIABLE) {
            None => Ok(None),
            Some(_) => Self::of(ambient).map(Some).ok_or_else(unreadable),
        }
    }

    /// The root of the workspace that was activated.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The variables that were changed.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().map(|change| change.name.as_str())
    }

    /// Records a variable, if it is changed.
    pub(crate) fn change(&mut self, name: &str, before: Option<&OsStr>, after: Option<&OsStr>) {
        if before != after {
            self.changes.push(Change {
                name: name.into(),
                before: before.map(OsStr::to_owned),
                after: after.map(OsStr::to_owned),
            });
        }
    }

    /// Takes over from an earlier record what it has of `names` and this has not.
    pub(crate) fn keep(&mut self, earlier: &Self, names: &[&str]) {
        for change in &earlier.changes {
            if names.contains(&change.name.as_str()) && !self.names().any(|own| own == change.name)
            {
                self.changes.push(change.clone());
            }
        }
    }

    /// `ambient` as it would be without the activation.
    ///
    /// A variable that is as the activation left it becomes byte for byte what it
    /// was. One that was changed since is the user's: of a list our part becomes
    /// what it was and the user's part stays, anything else stays as it is.
    pub fn undone(&self, ambient: &Ambient) -> Ambient {
        let mut result = ambient.clone();
        for change in &self.changes {
            match change.undone(ambient.get(&change.name)) {
                Some(value) => result.set(&change.name, value),
                None => result.remove(&change.name),
            }
        }
        result.remove(VARIABLE);
        result.remove(HOOK);
        result
    }

    /// The record as one plain word; `None` where it is too long for a variable.
    pub(crate) fn encode(&self) -> Option<String> {
        let escaped = |text: &OsStr| percent_encode(text.as_bytes(), ESCAPED).to_string();
        let value = |value: &Option<OsString>| match value {
            Some(value) => format!("+{}", escaped(value)),
            None => "-".into(),
        };
        let mut fields = vec![FORMAT.to_owned(), escaped(self.root.as_os_str())];
        for change in &self.changes {
            fields.extend([
                change.name.clone(),
                value(&change.before),
                value(&change.after),
            ]);
        }
        Some(fields.join(",")).filter(|text| text.len() <= LONGEST)
    }

    fn decode(text: &str) -> Option<Self> {
        let plain = |text: &str| OsString::from_vec(percent_decode_str(text).collect());
        let value = |text: &str| match text.strip_prefix('+') {
            Some(text) => Some(Some(plain(text))),
            None => (text == "-").then_some(None),
        };
        let mut fields = text.split(',');
        if fields.next()? != FORMAT {
            return None;
        }
        let mut record = Self::new(Path::new(&plain(fields.next()?)));
        while let Some(name) = fields.next() {
            // It becomes part of code for a shell.
            if !is_name(name) {
                return None;
            }
            record.changes.push(Change {
                name: name.into(),
                before: value(fields.next()?)?,
                after: value(fields.next()?)?,
            });
        }
        Some(record)
    }
}

impl Change {
    fn undone(&self, now: Option<&OsStr>) -> Option<OsString> {
        if now == self.after.as_deref() {
            return self.before.clone();
        }
        let (Some(now), Some(after)) = (now, &self.after) else {
            return now.map(OsStr::to_owned);
        };
        let Some(separator) = separator(&self.name) else {
            return Some(now.to_owned());
        };
        let split = |value| entries(value, separator).collect::<Vec<_>>();
        let before = split(self.before.as_deref().unwrap_or_default());
        let (after, now) = (split(after), split(now));
        let ours = now
            .windows(after.len().max(1))
            .position(|part| part == after);
        let kept: Vec<&OsStr> = match ours {
            Some(start) => {
                let (head, tail) = (&now[..start], &now[start + after.len()..]);
                [head, &before, tail].concat()
            }
            // Entries were put between ours, or taken away.
            None => now
                .into_iter()
                .filter(|entry| before.contains(entry) || !after.contains(entry))
                .collect(),
        };
        if kept.is_empty() && self.before.is_none() {
            return None;
        }
        Some(kept.join(OsStr::from_bytes(&[separator])))
    }
}

/// What separates the entries of a variable that is a list.
fn separator(name: &str) -> Option<u8> {
    match name {
        "PATH" | "PYTHONPATH" | "MAX_CUSTOM_EXTENSIONS" => Some(b':'),
        "MODULAR_MOJO_MAX_IMPORT_PATH" | "MODULAR_DEBUG" => Some(b','),
        _ => None,
    }
}

fn is_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(word)
        && name
            .bytes()
            .next()
            .is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests;
