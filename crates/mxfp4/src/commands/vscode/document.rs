//! One of VS Code's files: JSON with comments, edited without losing anything.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::CstRootNode;

use super::merge::Merge;

/// More than any file that a person edits has.
const LONGEST: u64 = 4 << 20;

/// What VS Code reads: comments and trailing commas, and no other liberty.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// A file as it is and as it should be.
pub struct Document {
    path: PathBuf,
    /// `None` where there is no file.
    before: Option<String>,
    after: String,
}

/// Why a file is left alone.
#[derive(Debug)]
pub struct Problem {
    path: PathBuf,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(
            f,
            "{path}: {}; nothing was changed: correct it, or move it away, and run `mxfp4 vscode` again",
            self.what
        )
    }
}

impl Document {
    /// Reads the file at `path` and gives it what is wanted; the file itself stays as it is.
    pub fn edit(path: &Path, wanted: &[(String, Merge)]) -> Result<Self, Problem> {
        let problem = |what: String| Problem {
            path: path.to_owned(),
            what,
        };
        let before = read(path).map_err(problem)?;
        let after = edited(before.as_deref().unwrap_or_default(), wanted).map_err(problem)?;
        Ok(Self {
            path: path.to_owned(),
            before,
            after,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is not yet as it should be.
    pub fn is_changed(&self) -> bool {
        self.before.as_ref() != Some(&self.after)
    }

    /// Makes the file what it should be, at once: a reader sees the old one or the new one.
    pub fn write(&self) -> Result<(), Problem> {
        self.try_write().map_err(|error| Problem {
            path: self.path.clone(),
            what: format!("it cannot be written: {error}"),
        })
    }

    fn try_write(&self) -> io::Result<()> {
        fs::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
        mxfp4_fs::write(&self.path, &self.after)
    }
}

/// The text of a file, or `None` where there is none.
fn read(path: &Path) -> Result<Option<String>, String> {
    let failed = |error: io::Error| format!("it cannot be read: {error}");
    // A pipe in its place would not end.
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err("it is not a file".into()),
        Ok(metadata) if metadata.len() > LONGEST => {
            return Err("it is too large to be one of VS Code's files".into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Ok(Some(text))
}

/// `text` with what is wanted.
fn edited(text: &str, wanted: &[(String, Merge)]) -> Result<String, String> {
    // A byte order mark is no part of the JSON, and is kept.
    let (mark, json) = match text.strip_prefix('\u{feff}') {
        Some(json) => ("\u{feff}", json),
        None => ("", text),
    };
    let root = CstRootNode::parse(json, &OPTIONS)
        .map_err(|error| format!("it is not JSON as VS Code reads it: {error}"))?;
    let object = root
        .object_value_or_create()
        .ok_or_else(|| "it holds something else than an object".to_owned())?;
    Merge::apply(wanted, &object, "")
        .map_err(|misfit| format!("`{}` is not {}", misfit.place, misfit.expected))?;
    let mut json = root.to_string();
    if text.trim().is_empty() && !json.ends_with('\n') {
        json.push('\n');
    }
    Ok(format!("{mark}{json}"))
}

#[cfg(test)]
mod tests;
