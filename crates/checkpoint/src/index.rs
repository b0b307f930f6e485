//! `model.safetensors.index.json`: which file holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use crate::fault::Fault;
use crate::read;

/// The index's name.
pub const NAME: &str = "model.safetensors.index.json";

/// Files by tensors, as the index has them.
#[derive(Debug, Default)]
pub struct Index {
    /// Whether there is one.
    pub is_there: bool,
    /// The file of each tensor.
    pub files: BTreeMap<String, String>,
}

impl Index {
    /// Reads the index of a folder.
    pub fn read(folder: &Path, faults: &mut Vec<Fault>) -> Self {
        let path = folder.join(NAME);
        let value = match read::json(&path) {
            Ok(Some(value)) => value,
            Ok(None) => return Self::default(),
            Err(fault) => {
                faults.push(fault);
                return Self::default();
            }
        };
        let wrong = |why: &str| Fault::Json {
            path: path.clone(),
            why: why.to_owned(),
        };
        let Some(map) = value["weight_map"].as_object() else {
            faults.push(wrong("it has no weight_map"));
            return Self::default();
        };
        let mut files = BTreeMap::new();
        for (tensor, file) in map {
            match file.as_str() {
                Some(file) => drop(files.insert(tensor.clone(), file.to_owned())),
                None => {
                    let short: String = tensor.chars().take(200).collect();
                    faults.push(wrong(&format!("the file of {short} is no text")));
                }
            }
        }
        Self {
            is_there: true,
            files,
        }
    }

    /// The files that it names and that may lie in the folder; others are faults.
    pub fn shards(&self, faults: &mut Vec<Fault>) -> BTreeSet<&str> {
        let names: BTreeSet<&str> = self.files.values().map(String::as_str).collect();
        let inside = |name: &str| {
            let mut parts = Path::new(name).components();
            !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        let (inside, outside): (BTreeSet<&str>, Vec<&str>) =
            names
                .into_iter()
                .fold(Default::default(), |(mut a, mut b), name| {
                    match inside(name) {
                        true => drop(a.insert(name)),
                        false => b.push(name),
                    }
                    (a, b)
                });
        faults.extend(outside.into_iter().map(|file| Fault::Outside {
            file: file.to_owned(),
        }));
        inside
    }
}
