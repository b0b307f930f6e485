//! The environment variables that a computation starts from.

use std::ffi::{OsStr, OsString};

/// An ordered snapshot of environment variables.
///
/// The computation reads this and never the process environment, so that a
/// test can hand in any environment and two calls with the same one agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ambient {
    variables: Vec<(OsString, OsString)>,
}

impl Ambient {
    /// The environment of this process.
    pub fn current() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of `name`; a variable set to the empty string is `Some("")`.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_os_str())
    }

    /// The value of `name` where it is set to something.
    pub fn get_nonempty(&self, name: &str) -> Option<&OsStr> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Sets `name`, in place when it is there already.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let (name, value) = (name.into(), value.into());
        match self.variables.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name, value)),
        }
    }

    /// Removes `name`.
    pub fn remove(&mut self, name: &str) {
        self.variables.retain(|(key, _)| key != name);
    }

    /// All variables, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Ambient {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let mut ambient = Self::default();
        for (name, value) in variables {
            ambient.set(name, value);
        }
        ambient
    }
}
