//! Holds what the files have against what the model needs, tensor by tensor.

use std::collections::{BTreeMap, BTreeSet};

use crate::expected::{EMBEDDING, Expected, HEAD};
use crate::fault::Fault;
use crate::index::Index;
use crate::layout::is_original;
use crate::sizes::Sizes;
use crate::tensor::Tensor;

/// A tensor, and the file that holds it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The file.
    pub file: &'a str,
    /// The tensor.
    pub tensor: &'a Tensor,
}

/// The tensors of all files by name. What occurs twice is a fault.
pub fn by_name<'a>(
    tensors: impl Iterator<Item = (&'a str, Place<'a>)>,
    faults: &mut Vec<Fault>,
) -> BTreeMap<&'a str, Place<'a>> {
    let mut all: BTreeMap<&str, Place<'_>> = BTreeMap::new();
    for (name, place) in tensors {
        let Some(first) = all.insert(name, place) else {
            continue;
        };
        if !is_original(name) {
            faults.push(Fault::Twice {
                tensor: name.to_owned(),
                file: first.file.to_owned(),
                again: place.file.to_owned(),
            });
        }
    }
    all
}

/// What is missing, surplus, misshapen or mistyped. What files that cannot be read may hold is not missing.
pub fn tensors(
    found: &BTreeMap<&str, Place<'_>>,
    expected: &BTreeMap<String, Expected>,
    index: &Index,
    unread: &Unread,
    faults: &mut Vec<Fault>,
) {
    for (name, want) in expected {
        match found.get(name.as_str()) {
            Some(place) => one(name, *place, want, faults),
            None if want.optional || unread.may_hold(name, index) => {}
            None => faults.push(Fault::Missing {
                tensor: name.clone(),
                indexed: index.files.get(name).cloned(),
            }),
        }
    }
    for (name, place) in found {
        if !expected.contains_key(*name) && !is_original(name) {
            faults.push(Fault::Surplus {
                tensor: (*name).to_owned(),
                file: place.file.to_owned(),
            });
        }
    }
}

fn one(name: &str, place: Place<'_>, want: &Expected, faults: &mut Vec<Fault>) {
    let tensor = place.tensor;
    let vocabulary = [EMBEDDING, HEAD].contains(&name);
    // Rows of a vocabulary are held against the tokenizer's, too.
    let same = match vocabulary {
        true => tensor.shape.len() == 2 && tensor.shape[1] == want.shape[1],
        false => tensor.shape == want.shape,
    };
    if !same {
        faults.push(Fault::Misshapen {
            tensor: name.to_owned(),
            file: place.file.to_owned(),
            found: tensor.shape.clone(),
            expected: want.shape.clone(),
        });
    }
    if tensor.dtype != want.dtype {
        faults.push(Fault::Mistyped {
            tensor: name.to_owned(),
            file: place.file.to_owned(),
            found: tensor.dtype.clone(),
            expected: want.dtype.clone(),
        });
    }
}

/// A tokenizer may have so many tokens less than the head has rows; the published one has 1069 less.
const PADDING: u64 = 4096;

/// Whether tokenizer, configuration, embedding and head are of one vocabulary.
pub fn vocabulary(
    found: &BTreeMap<&str, Place<'_>>,
    sizes: &Sizes,
    tokenizer: Option<u64>,
) -> Option<Fault> {
    let rows = |name: &str| {
        let shape = &found.get(name)?.tensor.shape;
        // Another shape is a fault of its own.
        (shape.len() == 2 && shape[1] == sizes.hidden_size).then(|| shape[0])
    };
    let (embedding, head) = (rows(EMBEDDING), rows(HEAD));
    let config = sizes.vocab_size;
    let differ = [embedding, head].into_iter().flatten().any(|n| n != config);
    let strange = tokenizer.is_some_and(|n| n > config || n + PADDING < config);
    (differ || strange).then_some(Fault::Vocabulary {
        tokenizer,
        config,
        embedding,
        head,
    })
}

/// Whether the index tells of each tensor where it is.
pub fn index(
    found: &BTreeMap<&str, Place<'_>>,
    expected: Option<&BTreeMap<String, Expected>>,
    index: &Index,
    unread: &Unread,
    faults: &mut Vec<Fault>,
) {
    if !index.is_there {
        return;
    }
    for (tensor, file) in &index.files {
        match found.get(tensor.as_str()) {
            Some(place) if place.file != file => faults.push(Fault::Elsewhere {
                tensor: tensor.clone(),
                indexed: file.clone(),
                file: place.file.to_owned(),
            }),
            Some(_) => {}
            // One that the model needs is missing, which is told with the file.
            None if expected.is_some_and(|expected| expected.contains_key(tensor)) => {}
            None if unread.files.contains(file) || unread.tensors.contains(tensor) => {}
            None => faults.push(Fault::Nowhere {
                tensor: tensor.clone(),
                indexed: file.clone(),
            }),
        }
    }
    for (name, place) in found {
        if !index.files.contains_key(*name) && !is_original(name) {
            // What belongs to no model is surplus, whatever the index says.
            if expected.is_none_or(|expected| expected.contains_key(*name)) {
                faults.push(Fault::NotIndexed {
                    tensor: (*name).to_owned(),
                    file: place.file.to_owned(),
                });
            }
        }
    }
}

/// What could not be read, and may be there all the same.
#[derive(Debug, Default)]
pub struct Unread {
    /// Files that are not there, or whose header is no header.
    pub files: BTreeSet<String>,
    /// Tensors whose entries are wrong.
    pub tensors: BTreeSet<String>,
}

impl Unread {
    /// Whether a tensor may be in one of them.
    fn may_hold(&self, tensor: &str, index: &Index) -> bool {
        self.tensors.contains(tensor)
            || match index.files.get(tensor) {
                Some(file) => self.files.contains(file),
                None => !index.is_there && !self.files.is_empty(),
            }
    }
}
