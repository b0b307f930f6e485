//! The one computation of the environment.

use std::ffi::{OsStr, OsString};

use crate::{Ambient, Error, Sdk, Workspace};

/// One variable of the computed environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None` means that it must not be set.
    pub value: Option<OsString>,
    /// Why it has this value.
    pub reason: String,
}

/// What the environment is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Debugging: run the device synchronously.
    pub debug: bool,
    /// Serving: never run the device synchronously, whatever the ambient variables say.
    pub serving: bool,
}

/// The variables of a workspace, in the order they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The variables that `mxfp4` decides.
    pub variables: Vec<Variable>,
    /// What the user should know, one sentence each.
    pub warnings: Vec<String>,
}

impl Environment {
    /// Computes the environment of `workspace`.
    pub fn compute(
        _workspace: &Workspace,
        _sdk: Option<&Sdk>,
        _ambient: &Ambient,
        _options: Options,
    ) -> Result<Self, Error> {
        Ok(Self::default())
    }

    /// The value of `name` where this environment sets it.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .iter()
            .find(|variable| variable.name == name)?
            .value
            .as_deref()
    }

    /// `ambient` with these variables set and unset.
    pub fn apply(&self, ambient: &Ambient) -> Ambient {
        let mut result = ambient.clone();
        for variable in &self.variables {
            match &variable.value {
                Some(value) => result.set(&variable.name, value),
                None => result.remove(&variable.name),
            }
        }
        result
    }
}
