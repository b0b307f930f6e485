use toml_edit::{DocumentMut, Value};

/// `pyproject.toml`, as far as its direct dependencies go. Comments and order survive a change.
pub(crate) struct Pyproject(DocumentMut);

impl Pyproject {
    pub(crate) fn parse(text: &str) -> Result<Self, toml_edit::TomlError> {
        Ok(Self(text.parse()?))
    }

    /// The exact version that it asks for of a package, where it asks for one.
    pub(crate) fn pinned(&self, name: &str) -> Option<&str> {
        let dependencies = self.0.get("project")?.get("dependencies")?.as_array()?;
        dependencies.iter().find_map(|value| {
            let requirement = Requirement::of(value.as_str()?);
            let version = requirement.specifier.strip_prefix("==")?.trim();
            (requirement.is_for(name) && !version.contains([',', '*'])).then_some(version)
        })
    }

    /// Has it ask for `specifier` (`==26.7.0`) of a package; false where it does not depend on it.
    pub(crate) fn require(&mut self, name: &str, specifier: &str) -> bool {
        let dependencies = self
            .0
            .get_mut("project")
            .and_then(|project| project.get_mut("dependencies"))
            .and_then(|dependencies| dependencies.as_array_mut());
        let mut found = false;
        for value in dependencies.into_iter().flat_map(|array| array.iter_mut()) {
            let Some(requirement) = value.as_str().map(Requirement::of) else {
                continue;
            };
            if requirement.is_for(name) {
                let text = format!("{}{specifier}{}", requirement.package, requirement.marker);
                set(value, &text);
                found = true;
            }
        }
        found
    }
}

impl std::fmt::Display for Pyproject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Changes a value and leaves what is written around it.
pub(crate) fn set(value: &mut Value, text: &str) {
    let decor = value.decor().clone();
    *value = Value::from(text);
    *value.decor_mut() = decor;
}

/// `max[serve]==26.7.0 ; python_version < "4"` in its three parts.
struct Requirement<'a> {
    /// The name with its extras.
    package: &'a str,
    specifier: &'a str,
    /// From the semicolon on, with the blanks before it.
    marker: &'a str,
}

impl<'a> Requirement<'a> {
    fn of(text: &'a str) -> Self {
        let end = text.find(';').unwrap_or(text.len());
        let (rest, marker) = text.split_at(text[..end].trim_end().len());
        let end = rest
            .find(|char: char| "<>=!~@(".contains(char))
            .unwrap_or(rest.len());
        let (package, specifier) = rest.split_at(end);
        Self {
            package: package.trim(),
            specifier: specifier.trim(),
            marker,
        }
    }

    fn is_for(&self, name: &str) -> bool {
        let package = self.package.split('[').next().unwrap_or_default();
        package.trim().eq_ignore_ascii_case(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# first\n[project]\nname = \"x\"\ndependencies = [\n    \"max[serve] == 26.7.0\", # why\n    \
                        'mojo==1.2.0 ; python_version < \"4\"',\n    \"max-core>=1\",\n]\n";

    #[test]
    fn what_it_asks_for() {
        let project = Pyproject::parse(TEXT).unwrap();
        assert_eq!(project.pinned("max"), Some("26.7.0"));
        assert_eq!(project.pinned("mojo"), Some("1.2.0"));
        assert_eq!(project.pinned("max-core"), None);
        assert_eq!(project.pinned("numpy"), None);
        assert_eq!(Pyproject::parse("").unwrap().pinned("max"), None);
        assert!(Pyproject::parse("[project").is_err());
    }

    #[test]
    fn a_change_leaves_the_rest() {
        let mut project = Pyproject::parse(TEXT).unwrap();
        assert!(project.require("max", "==26.8.0") && project.require("mojo", ">=1.2.0"));
        assert!(!project.require("numpy", "==1"));
        let expected = TEXT
            .replace("max[serve] == 26.7.0", "max[serve]==26.8.0")
            .replace(
                "'mojo==1.2.0 ; python_version < \"4\"'",
                "'mojo>=1.2.0 ; python_version < \"4\"'",
            );
        assert_eq!(project.to_string(), expected);
    }
}
