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

impl Name {
    /// The name that `folder` suggests.
    pub fn of_folder(folder: &Path) -> Result<Self, String> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.replace(['-', '.', ' '], "_")
            .parse()
            .map_err(|why| format!("{why}; choose one with --name"))
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let start = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
        let rest = |char: char| char.is_ascii_alphanumeric() || char == '_';
        if !start || !text.chars().all(rest) {
            return Err(format!(
                "`{text}` cannot be a kernel package's name: a Mojo identifier has letters, digits and `_`, no digit first"
            ));
        }
        if TAKEN.contains(&text) {
            return Err(format!(
                "`{text}` cannot be a kernel package's name: to Mojo, MAX or the workspace it means something else"
            ));
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
        for name in [
            "", "2", "a-b", "a b", "é", "a.b", "../a", "struct", "test", "nn",
        ] {
            let why = name.parse::<Name>().unwrap_err();
            assert!(why.starts_with(&format!("`{name}` cannot be")), "{why}");
        }
        let of = |folder| Name::of_folder(Path::new(folder));
        assert_eq!(of("/x/fast-gelu").unwrap().as_str(), "fast_gelu");
        assert!(of("/").unwrap_err().ends_with("choose one with --name"));
    }
}
