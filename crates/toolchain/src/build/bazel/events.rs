//! What Bazel tells of a build: its Build Event Protocol, one JSON object a line.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::Deserialize;

/// A file that a build made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Made {
    /// Where it is, as far as no link leads there.
    pub(super) path: PathBuf,
    /// Its name below the folder of outputs.
    pub(super) name: PathBuf,
}

/// What each target of a build has made.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    sets: BTreeMap<String, FileSet>,
    targets: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Event {
    id: Id,
    completed: Option<Completed>,
    #[serde(rename = "namedSetOfFiles")]
    files: Option<FileSet>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Id {
    named_set: Option<SetId>,
    target_completed: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct SetId {
    id: String,
}

#[derive(Deserialize)]
struct Target {
    label: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Completed {
    output_group: Vec<Group>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Group {
    name: String,
    file_sets: Vec<SetId>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FileSet {
    files: Vec<File>,
    file_sets: Vec<SetId>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    name: String,
    uri: String,
    path_prefix: Vec<String>,
}

impl Outputs {
    /// Reads the events; a line that is none is passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut outputs = Self::default();
        for event in text
            .lines()
            .filter_map(|line| serde_json::from_str::<Event>(line).ok())
        {
            match (event.id, event.files, event.completed) {
                (
                    Id {
                        named_set: Some(set),
                        ..
                    },
                    Some(files),
                    _,
                ) => {
                    outputs.sets.insert(set.id, files);
                }
                (
                    Id {
                        target_completed: Some(target),
                        ..
                    },
                    _,
                    Some(completed),
                ) => {
                    let groups = completed.output_group.into_iter();
                    let sets = groups
                        .filter(|group| group.name == "default")
                        .flat_map(|group| group.file_sets)
                        .map(|set| set.id);
                    let label = plain(&target.label);
                    outputs.targets.entry(label).or_default().extend(sets);
                }
                _ => {}
            }
        }
        outputs
    }

    /// What the target of this label made, in the order of names; sources that it passes on are not made.
    pub(super) fn of(&self, label: &str) -> Vec<Made> {
        let mut made = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = match self.targets.get(&plain(label)) {
            Some(sets) => sets.iter().map(String::as_str).collect(),
            None => Vec::new(),
        };
        while let Some(id) = open.pop() {
            let Some(set) = self.sets.get(id).filter(|_| seen.insert(id)) else {
                continue;
            };
            made.extend(set.files.iter().filter_map(File::made));
            open.extend(set.file_sets.iter().map(|set| set.id.as_str()));
        }
        made.into_iter().collect()
    }
}

impl File {
    fn made(&self) -> Option<Made> {
        if self.path_prefix.is_empty() {
            return None;
        }
        let path = percent_encoding::percent_decode_str(self.uri.strip_prefix("file://")?);
        let path: Vec<u8> = path.collect();
        Some(Made {
            path: OsStr::from_bytes(&path).into(),
            name: self.name.clone().into(),
        })
    }
}

/// `//a/b:c`, however it is written: `@//a/b:c` and `@@//a/b:c` are of the main repository too, and `//a/b` is `//a/b:b`.
fn plain(label: &str) -> String {
    let label = label.trim_start_matches('@');
    match label.contains(':') {
        true => label.to_owned(),
        false => format!("{label}:{}", label.rsplit('/').next().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_through_sets_of_sets() {
        let text = r#"{"id":{"namedSet":{"id":"1"}},"namedSetOfFiles":{"files":[{"name":"a/x.mojoc","uri":"file:///out/bin/a/x.mojoc","pathPrefix":["bin"]},{"name":"a/x.mojo","uri":"file:///ws/a/x.mojo"}],"fileSets":[{"id":"0"},{"id":"1"}]}}
{"id":{"namedSet":{"id":"0"}},"namedSetOfFiles":{"files":[{"name":"b c.mojoc","uri":"file:///out/bin/b%20c.mojoc","pathPrefix":["bin"]}]}}
{"id":{"targetCompleted":{"label":"@@//a:a"}},"completed":{"success":true,"outputGroup":[{"name":"default","fileSets":[{"id":"1"}]},{"name":"other","fileSets":[{"id":"2"}]}]}}
{"id":{"targetCompleted":{"label":"//b"}},"aborted":{"reason":"SKIPPED"}}
{"id":{"progress":{}},"lastMessage":true}
no event
"#;
        let outputs = Outputs::parse(text);
        let made = |label: &str| -> Vec<String> {
            let made = outputs.of(label).into_iter();
            made.map(|made| format!("{} {}", made.path.display(), made.name.display()))
                .collect()
        };
        let both = [
            "/out/bin/a/x.mojoc a/x.mojoc",
            "/out/bin/b c.mojoc b c.mojoc",
        ];
        assert_eq!(made("//a"), both);
        assert_eq!(made("//a:a"), both);
        assert_eq!(made("//b:b"), [""; 0]);
        assert_eq!(made("//c"), [""; 0]);
    }
}
