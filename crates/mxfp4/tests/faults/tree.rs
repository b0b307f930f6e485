//! What is in a folder, told so that any difference shows.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The names below a folder with what each is.
pub type Tree = BTreeMap<PathBuf, String>;

/// The tree below `root`. What uv links from its cache is told by the file that it is, for reading gigabytes would take
/// longer than making them; everything else by its content.
pub fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it can be read") {
            let path = entry.expect("it can be read").path();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            let what = if metadata.is_dir() {
                folders.push(path.clone());
                "folder".to_owned()
            } else if metadata.is_symlink() {
                format!(
                    "link to {}",
                    fs::read_link(&path).expect("it is a link").display()
                )
            } else if metadata.nlink() > 1 {
                format!("{} bytes of inode {}", metadata.len(), metadata.ino())
            } else if path.extension().is_some_and(|name| name == "pyc") {
                // In it stand the source's age and its path.
                format!("{} bytes", metadata.len())
            } else {
                let content = fs::read(&path).expect("it can be read");
                format!(
                    "{} bytes {}",
                    content.len(),
                    blake3::hash(&content).to_hex()
                )
            };
            let name = path.strip_prefix(root).expect("it is below").to_owned();
            found.insert(name, what);
        }
    }
    found
}

/// Says where `found` is not `expected`.
pub fn compare(what: &str, found: &Tree, expected: &Tree) -> Result<(), String> {
    let names = found.keys().chain(expected.keys());
    let mut wrong: Vec<_> = names
        .filter(|name| found.get(*name) != expected.get(*name))
        .map(|name| {
            let (found, expected) = (found.get(name), expected.get(name));
            format!("{}: {found:?} instead of {expected:?}", name.display())
        })
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.sort();
    wrong.dedup();
    let count = wrong.len();
    wrong.truncate(5);
    Err(format!(
        "{what} differs in {count} names: {}",
        wrong.join("; ")
    ))
}
