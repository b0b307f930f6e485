use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ignore::WalkBuilder;

use super::language::Language;
use crate::exit::{Exit, Failure};

/// What is to be formatted, by language, each file once.
#[derive(Debug, Default)]
pub struct Files(Vec<(Language, PathBuf)>);

impl Files {
    /// The files at or below `paths`. What git ignores and what is hidden is found only where it is named itself.
    pub fn find(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            if !path.exists() {
                let message = format!("{} does not exist", path.display());
                return Err(Failure::new(Exit::Usage, message).into());
            }
            // A workspace need not be under version control to have a .gitignore.
            let walk = WalkBuilder::new(path).require_git(false).build();
            for entry in walk {
                let entry =
                    entry.with_context(|| format!("cannot look into {}", path.display()))?;
                let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
                if let (true, Some(language)) = (is_file, Language::of(entry.path())) {
                    files.push((language, entry.into_path()));
                }
            }
        }
        files.sort();
        files.dedup();
        Ok(Self(files))
    }

    /// Those of one language.
    pub fn of(&self, language: Language) -> Vec<&Path> {
        let files = self.0.iter().filter(|(other, _)| *other == language);
        files.map(|(_, path)| path.as_path()).collect()
    }
}
