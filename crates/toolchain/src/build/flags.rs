use mxfp4_env::{Environment, Sdk};
use mxfp4_process::{Command, Output};

use super::dialect::Dialect;
use super::options::{Options, Profile};
use crate::Error;

/// The flags that [`Options`] stand for.
pub struct Flags {
    /// Of what makes a package: those that this compiler takes there.
    pub package: Vec<String>,
    /// Of what makes a program.
    pub program: Vec<String>,
}

impl Flags {
    /// Those of `options` with the compiler of `sdk`.
    pub fn of(
        sdk: &Sdk,
        environment: &Environment,
        dialect: Dialect,
        options: &Options,
    ) -> Result<Self, Error> {
        let mut wanted = Vec::new();
        if let Some(accelerator) = &options.accelerator {
            wanted.push(("--target-accelerator", accelerator.as_str()));
        }
        if options.profile == Some(Profile::Debug) {
            wanted.extend([("--debug-level", "full"), ("--optimization-level", "0")]);
        }
        let flag = |(name, value): &(&str, &str)| format!("{name}={value}");
        let program = wanted.iter().map(flag).collect();
        if wanted.is_empty() {
            let package = Vec::new();
            return Ok(Self { package, program });
        }
        // Versions differ in what may be said of a package: 1.2 knows none of these there.
        let mut help = String::new();
        Command::new(sdk.mojo())
            .args([dialect.subcommand, "--help-hidden"])
            .environment(environment)
            .output(Output::Lines)
            .run(&mut |line| {
                help.push_str(&line.text);
                help.push('\n');
            })?;
        let package = wanted
            .iter()
            .filter(|(name, _)| help.contains(name))
            .map(flag)
            .collect();
        Ok(Self { package, program })
    }
}
