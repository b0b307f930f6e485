use std::os::unix::process::parent_id;
use std::path::Path;

use clap::ValueEnum;
use mxfp4_env::{Environment, Error, render};

/// What an environment is printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Any POSIX shell.
    #[value(aliases = ["sh", "dash", "ksh"])]
    Posix,
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// Nushell: for a file that is sourced.
    #[value(alias = "nushell")]
    Nu,
    /// PowerShell.
    #[value(alias = "pwsh")]
    Powershell,
    /// A .env file.
    Dotenv,
    /// A JSON object, for --json.
    #[value(hide = true)]
    Json,
    /// Lines for the file that GITHUB_ENV names.
    GithubActions,
}

impl Language {
    /// That of the shell that runs this process; a POSIX shell's where another
    /// program does.
    ///
    /// `$SHELL` is not asked: it names the shell that the user logs in with, and a
    /// script in another language that evaluates the output has it as well.
    pub fn of_parent() -> Self {
        let parent = format!("/proc/{}", parent_id());
        // A script is known by its interpreter: what `comm` says is its own name.
        let program = std::fs::read_link(format!("{parent}/exe")).ok();
        let program = program.as_deref().and_then(Path::file_name);
        let from_name = |name: &str| match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            "nu" => Some(Self::Nu),
            "pwsh" => Some(Self::Powershell),
            _ => None,
        };
        program
            .and_then(|name| from_name(name.to_str()?))
            .or_else(|| {
                from_name(
                    std::fs::read_to_string(format!("{parent}/comm"))
                        .ok()?
                        .trim(),
                )
            })
            .unwrap_or(Self::Posix)
    }

    /// `environment` in this language.
    pub fn render(self, environment: &Environment) -> Result<Vec<u8>, Error> {
        match self {
            Self::Posix | Self::Bash | Self::Zsh => Ok(render::posix(environment)),
            Self::Fish => Ok(render::fish(environment)),
            Self::Nu => render::nu(environment),
            Self::Powershell => render::powershell(environment),
            Self::Dotenv => render::dotenv(environment),
            Self::Json => Ok(render::json(environment).into_bytes()),
            Self::GithubActions => render::github_actions(environment),
        }
    }
}
