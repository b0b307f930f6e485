//! Which files of a folder MAX takes for weights.

use std::fs;
use std::io;
use std::path::Path;

use crate::fault::Fault;

/// So many entries of a folder are looked at.
const MOST: usize = 20_000;

/// So deep it is looked into.
const DEEPEST: usize = 8;

/// The weight files below a folder, by name: every one that ends in `.safetensors` and is not hidden, but for copies
/// that training leaves in `checkpoint-N/`, and for `consolidated` ones beside others. An index does not matter to MAX.
pub fn weight_files(folder: &Path) -> Result<Vec<String>, Fault> {
    let mut files = Vec::new();
    let mut seen = 0;
    let mut todo = vec![(String::new(), 0)];
    while let Some((below, depth)) = todo.pop() {
        let entries = match fs::read_dir(folder.join(&below)) {
            Ok(entries) => entries,
            // A folder in it that may not be read is MAX's to skip as well.
            Err(_) if depth > 0 => continue,
            Err(error) => return Err(unreadable(folder, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(folder, &error))?;
            seen += 1;
            if seen > MOST {
                return Err(Fault::TooManyFiles {
                    folder: folder.to_owned(),
                    limit: MOST,
                });
            }
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{below}{name}");
            if entry.path().is_dir() {
                if depth < DEEPEST {
                    todo.push((format!("{path}/"), depth + 1));
                }
            } else if name.ends_with(".safetensors") {
                files.push(path);
            }
        }
    }
    if files.len() > 1 {
        files.retain(|file| !file.contains("consolidated") && !is_of_training(file));
    }
    files.sort();
    Ok(files)
}

/// The size of all weight files of a folder, as far as they are there.
pub fn weight_bytes(folder: &Path) -> Option<u64> {
    let files = weight_files(folder).ok()?;
    let sizes = files.iter().filter_map(|file| {
        let metadata = fs::metadata(folder.join(file)).ok()?;
        Some(metadata.len())
    });
    let total = sizes.fold(0, u64::saturating_add);
    (!files.is_empty()).then_some(total)
}

/// Whether a file lies in a folder that training made for a step.
fn is_of_training(file: &str) -> bool {
    file.rsplit('/').skip(1).any(|folder| {
        let step = folder.strip_prefix("checkpoint-");
        step.is_some_and(|step| !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// A fault for what cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    }
}
