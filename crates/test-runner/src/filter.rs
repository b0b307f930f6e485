use regex::Regex;

/// Which tests are wanted.
#[derive(Clone, Debug, Default)]
pub enum Filter {
    /// All.
    #[default]
    All,
    /// Those with this in their name.
    Part(String),
    /// Those whose name this matches.
    Pattern(Regex),
}

impl Filter {
    /// The filter that EXPR is: `/REGEX/`, or part of a name.
    pub fn parse(text: &str) -> Result<Self, regex::Error> {
        let pattern = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        match pattern {
            Some(pattern) => Regex::new(pattern).map(Self::Pattern),
            None => Ok(Self::Part(text.to_owned())),
        }
    }

    /// Whether a test of this name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Part(part) => name.contains(part.as_str()),
            Self::Pattern(pattern) => pattern.is_match(name),
        }
    }

    /// Whether a test may be wanted whose name stands in this source as a string, or as part of one.
    pub fn may_want_of(&self, source: &str) -> bool {
        source.lines().any(|line| {
            let line = line.replace("\\\"", "");
            ['"', '\''].into_iter().any(|quote| {
                let strings = line.split(quote).skip(1).step_by(2);
                strings.into_iter().any(|string| self.wants(string))
            })
        })
    }

    /// What to give to `mxfp4 test` for it.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Part(part) => vec![part.clone()],
            Self::Pattern(pattern) => vec![format!("/{pattern}/")],
        }
    }

    /// Part of the name of every wanted test, when that is known.
    pub fn part(&self) -> Option<&str> {
        match self {
            Self::Part(part) => Some(part),
            Self::All | Self::Pattern(_) => None,
        }
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("there is no test"),
            Self::Part(part) => write!(f, "no test has `{part}` in its name"),
            Self::Pattern(pattern) => write!(f, "no test has a name that /{pattern}/ matches"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_patterns() {
        let wants = |filter: &str, name: &str| Filter::parse(filter).unwrap().wants(name);
        assert!(wants("ops.py::test_a[1]", "tests/test_ops.py::test_a[1]"));
        assert!(!wants("test_b", "test_a"));
        assert!(wants("/^test_(a|b)$/", "test_b"));
        assert!(!wants("/^test_(a|b)$/", "test_bc"));
        // No pattern without both slashes.
        assert!(wants("/a", "kernels/a"));
        assert!(wants("", "anything"));
        assert!(Filter::parse("/(/").is_err());
    }

    #[test]
    fn a_name_in_a_source() {
        let may = |filter: &str| {
            let source = "from mxfp4.format import code\n\"\"\"About\nit.\"\"\"\n\
                          report.check(\"all codes\", wrong, \"it \\\"differs\\\" here\") 'single'";
            Filter::parse(filter).unwrap().may_want_of(source)
        };
        assert!(may("codes"));
        assert!(may("/^all codes$/"));
        assert!(may("single") && may("here"));
        assert!(!may("/^codes$/"));
        // An import is no name.
        assert!(!may("format") && !may("wrong"));
        assert!(!may("scales"));
    }
}
