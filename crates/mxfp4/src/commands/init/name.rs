use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Words that mean something to Mojo, or name a package that the new one would hide.
const TAKEN: [&str; 62] = [
    "Self",
    "alias",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "comptime",
    "continue",
    "def",
    "del",
    "deinit",
    "elif",
    "else",
    "except",
    "False",
    "finally",
    "fn",
    "for",
    "from",
    "global",
    "if",
    "imm",
    "import",
    "in",
    "inout",
    "is",
    "lambda",
    "let",
    "mut",
    "None",
    "nonlocal",
    "not",
    "or",
    "out",
    "owned",
    "pass",
    "raise",
    "raises",
    "read",
    "ref",
    "return",
    "self",
    "struct",
    "trait",
    "True",
    "try",
    "var",
    "where",
    "while",
    "with",
    "yield",
    "std",
    "max",
    "layout",
    "linalg",
    "nn",
    "extensibility",
    "test",
    "bench",
];

/// The name of a kernel package: a Mojo identifier.
#[derive(Debug, PartialEq, Eq)]
pub struct Name(String);

/// Why a text is no name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotName {
    /// No identifier.
    #[error(
        "`{0}` cannot be a kernel package's name: a Mojo identifier has letters, digits and `_`, no digit first"
    )]
    NoIdentifier(String),
    /// One that means something else.
    #[error(
        "`{0}` cannot be a kernel package's name: to Mojo, MAX or the workspace it means something else"
    )]
    Taken(String),
}

impl Name {
    /// The name that `folder` suggests.
    pub fn of_folder(folder: &Path) -> Result<Self, NotName> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.replace(['-', '.', ' '], "_").parse()
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NotName;

    fn from_str(text: &str) -> Result<Self, NotName> {
        let start = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
        let rest = |char: char| char.is_ascii_alphanumeric() || char == '_';
        if !start || !text.chars().all(rest) {
            return Err(NotName::NoIdentifier(text.to_owned()));
        }
        if TAKEN.contains(&text) {
            return Err(NotName::Taken(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_nothing_else() {
        for name in ["a", "_a", "my_kernel", "K2", "twice"] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        let why = |name: &str| name.parse::<Name>().unwrap_err();
        for name in ["", "2", "a-b", "a b", "é", "a.b", "../a"] {
            assert_eq!(why(name), NotName::NoIdentifier(name.to_owned()));
        }
        for name in ["struct", "test", "nn"] {
            assert_eq!(why(name), NotName::Taken(name.to_owned()));
        }
        let of = |folder| Name::of_folder(Path::new(folder));
        assert_eq!(of("/x/fast-gelu").unwrap().as_str(), "fast_gelu");
        assert_eq!(of("/"), Err(NotName::NoIdentifier(String::new())));
    }
}
