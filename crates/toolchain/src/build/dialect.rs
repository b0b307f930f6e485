use std::fs;

use mxfp4_env::Sdk;

use crate::Error;

/// How a generation of the compiler makes a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The subcommand that does it.
    pub subcommand: &'static str,
    /// How the package's name ends.
    pub extension: &'static str,
    /// How it ends with the other generation.
    pub other_extension: &'static str,
}

impl Dialect {
    /// The compiler's own packages tell without a process to start.
    pub fn of(sdk: &Sdk) -> Result<Self, Error> {
        let lib = sdk.lib_mojo();
        let entries = fs::read_dir(&lib).map_err(Error::file("read", &lib))?;
        let has_mojoc = entries
            .flatten()
            .any(|entry| entry.path().extension().is_some_and(|e| e == "mojoc"));
        Ok(if has_mojoc {
            Self {
                subcommand: "precompile",
                extension: "mojoc",
                other_extension: "mojopkg",
            }
        } else {
            Self {
                subcommand: "package",
                extension: "mojopkg",
                other_extension: "mojoc",
            }
        })
    }
}
