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

/// Linux refuses to start any program while one variable is longer than 128 KiB, its name included.
const LONGEST: usize = 130_000;

/// What an activation changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    root: PathBuf,
    changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    name: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// What it was, and what it became.
    Whole {
        before: Option<OsString>,
        after: Option<OsString>,
    },
    /// Of a list: these entries were put before what was there, which follows and need not be recorded.
    Put(OsString),
    /// Of a list: entries were put before what was there, and some of that, by number, was left out.
    Replaced {
        before: OsString,
        put: OsString,
        dropped: Vec<usize>,
    },
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
        let unreadable = || Error::Record(VARIABLE);
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

    /// The entries that the activation put into the list `name`.
    pub fn entries(&self, name: &str) -> Vec<OsString> {
        let change = self.changes.iter().find(|change| change.name == name);
        change.map(Change::entries).unwrap_or_default()
    }

    /// Records a variable, if it is changed.
    pub(crate) fn change(&mut self, name: &str, before: Option<&OsStr>, after: Option<&OsStr>) {
        if before != after {
            self.changes.push(Change {
                name: name.into(),
                kind: Kind::of(name, before, after),
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
        let value = |value: &Option<OsString>| match value {
            Some(value) => format!("+{}", escaped(value)),
            None => "-".into(),
        };
        let mut fields = vec![FORMAT.to_owned(), escaped(self.root.as_os_str())];
        for change in &self.changes {
            let (before, after) = match &change.kind {
                Kind::Whole { before, after } => (value(before), value(after)),
                Kind::Put(put) => ("~".to_owned(), format!("~{}", escaped(put))),
                Kind::Replaced {
                    before,
                    put,
                    dropped,
                } => {
                    let dropped: Vec<_> = dropped.iter().map(usize::to_string).collect();
                    let after = format!("~{}~{}", escaped(put), dropped.join("."));
                    (format!("+{}", escaped(before)), after)
                }
            };
            fields.extend([change.name.clone(), before, after]);
        }
        Some(fields.join(",")).filter(|text| text.len() <= LONGEST)
    }

    fn decode(text: &str) -> Option<Self> {
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
                kind: Kind::decode(fields.next()?, fields.next()?)?,
            });
        }
        Some(record)
    }
}

impl Change {
    fn undone(&self, now: Option<&OsStr>) -> Option<OsString> {
        let separator = separator(&self.name);
        let (before, after) = match &self.kind {
            Kind::Put(put) => {
                let now = now?;
                let separator = separator?;
                return Some(without(now, put, separator).unwrap_or_else(|| {
                    let put: Vec<_> = entries(put, separator).collect();
                    let kept = entries(now, separator).filter(|entry| !put.contains(entry));
                    join(kept, separator)
                }));
            }
            Kind::Whole { before, after } => (before.clone(), after.clone()),
            Kind::Replaced {
                before,
                put,
                dropped,
            } => {
                let kept = kept(before, dropped, separator?);
                let after = entries(put, separator?).chain(kept);
                (Some(before.clone()), Some(join(after, separator?)))
            }
        };
        if now == after.as_deref() {
            return before;
        }
        let (Some(now), Some(after)) = (now, &after) else {
            return now.map(OsStr::to_owned);
        };
        let Some(separator) = separator else {
            return Some(now.to_owned());
        };
        let was_set = before.is_some();
        let split = |value| entries(value, separator).collect::<Vec<_>>();
        let before = before.unwrap_or_default();
        let (before, after, now) = (split(&before), split(after), split(now));
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
        if kept.is_empty() && !was_set {
            return None;
        }
        Some(join(kept, separator))
    }

    fn entries(&self) -> Vec<OsString> {
        let Some(separator) = separator(&self.name) else {
            return Vec::new();
        };
        let split = |value| entries(value, separator).map(OsStr::to_owned);
        match &self.kind {
            Kind::Put(put) | Kind::Replaced { put, .. } => split(put).collect(),
            Kind::Whole { before, after } => {
                let before: Vec<_> = before.iter().flat_map(|before| split(before)).collect();
                let after = after.iter().flat_map(|after| split(after));
                after.filter(|entry| !before.contains(entry)).collect()
            }
        }
    }
}

impl Kind {
    /// The shortest that says how the value changed.
    fn of(name: &str, before: Option<&OsStr>, after: Option<&OsStr>) -> Self {
        let lists = before.filter(|before| !before.is_empty()).zip(after);
        let short = separator(name)
            .zip(lists)
            .and_then(|(separator, (before, after))| Self::of_lists(before, after, separator));
        short.unwrap_or_else(|| Self::Whole {
            before: before.map(OsStr::to_owned),
            after: after.map(OsStr::to_owned),
        })
    }

    /// How a list changed, where new entries stand before old ones.
    fn of_lists(before: &OsStr, after: &OsStr, separator: u8) -> Option<Self> {
        let (before_entries, after): (Vec<_>, Vec<_>) = (
            entries(before, separator).collect(),
            entries(after, separator).collect(),
        );
        let mut dropped = Vec::new();
        let mut end = after.len();
        for (number, entry) in before_entries.iter().enumerate().rev() {
            match end.checked_sub(1).filter(|&last| after[last] == *entry) {
                Some(last) => end = last,
                None => dropped.push(number),
            }
        }
        dropped.reverse();
        let put = &after[..end];
        // What stands there too could not be told from ours.
        if put.is_empty() || put.iter().any(|entry| after[end..].contains(entry)) {
            return None;
        }
        let put = join(put.iter().copied(), separator);
        Some(match dropped.is_empty() {
            true => Self::Put(put),
            false => Self::Replaced {
                before: before.to_owned(),
                put,
                dropped,
            },
        })
    }

    fn decode(before: &str, after: &str) -> Option<Self> {
        let value = |text: &str| match text.strip_prefix('+') {
            Some(text) => Some(Some(plain(text))),
            None => (text == "-").then_some(None),
        };
        let Some(put) = after.strip_prefix('~') else {
            return Some(Self::Whole {
                before: value(before)?,
                after: value(after)?,
            });
        };
        if before == "~" {
            return Some(Self::Put(plain(put)));
        }
        let (put, dropped) = put.split_once('~')?;
        let dropped = dropped.split('.').map(str::parse);
        Some(Self::Replaced {
            before: value(before)??,
            put: plain(put),
            dropped: dropped.collect::<Result<_, _>>().ok()?,
        })
    }
}

/// `list` without the entries of `part`, where they stand in it one after the other.
pub fn without(list: &OsStr, part: &OsStr, separator: u8) -> Option<OsString> {
    let (list, part): (Vec<_>, Vec<_>) = (
        entries(list, separator).collect(),
        entries(part, separator).collect(),
    );
    let start = list
        .windows(part.len().max(1))
        .position(|some| some == part)?;
    let (head, tail) = (&list[..start], &list[start + part.len()..]);
    Some(join(head.iter().chain(tail).copied(), separator))
}

/// The entries of `list` but for those with these numbers.
fn kept<'a>(
    list: &'a OsStr,
    dropped: &'a [usize],
    separator: u8,
) -> impl Iterator<Item = &'a OsStr> {
    let numbered = entries(list, separator).enumerate();
    numbered.filter_map(|(number, entry)| (!dropped.contains(&number)).then_some(entry))
}

fn join<'a>(entries: impl IntoIterator<Item = &'a OsStr>, separator: u8) -> OsString {
    let entries: Vec<_> = entries.into_iter().collect();
    entries.join(OsStr::from_bytes(&[separator]))
}

/// `text` as a plain word of every shell.
pub fn escaped(text: &OsStr) -> String {
    percent_encode(text.as_bytes(), ESCAPED).to_string()
}

/// What [`escaped`] was given.
pub fn plain(text: &str) -> OsString {
    OsString::from_vec(percent_decode_str(text).collect())
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
