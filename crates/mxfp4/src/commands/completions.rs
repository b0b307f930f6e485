//! `mxfp4 completions`

use std::io::{self, Write};

use clap::{Command, ValueEnum};
use clap_complete::{Generator, Shell as Classic};
use clap_complete_nushell::Nushell;

/// Print what a shell needs to complete mxfp4's command line
///
/// Where each shell looks for it:
///
///   bash        mxfp4 completions bash > ~/.local/share/bash-completion/completions/mxfp4
///   zsh         mxfp4 completions zsh > FOLDER/_mxfp4, for a FOLDER in $fpath
///   fish        mxfp4 completions fish > ~/.config/fish/completions/mxfp4.fish
///   nu          mxfp4 completions nu | save mxfp4.nu, and `use mxfp4.nu *` in config.nu
///   powershell  mxfp4 completions powershell | Out-String | Invoke-Expression, in $PROFILE
///   elvish      eval (mxfp4 completions elvish | slurp), in rc.elv
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    #[value(alias = "nushell")]
    Nu,
    #[value(alias = "pwsh")]
    Powershell,
    Elvish,
}

/// Runs the command, for the command line `cli`.
pub fn run(args: Args, cli: Command) -> anyhow::Result<i32> {
    let text = match args.shell {
        Shell::Bash => generate(Classic::Bash, cli),
        Shell::Zsh => generate(Classic::Zsh, cli),
        Shell::Fish => generate(Classic::Fish, cli),
        Shell::Nu => generate(Nushell, cli),
        Shell::Powershell => generate(Classic::PowerShell, cli),
        Shell::Elvish => generate(Classic::Elvish, cli),
    };
    io::stdout().write_all(&text)?;
    Ok(0)
}

/// In memory first: the generators panic when a reader goes away.
fn generate(generator: impl Generator, mut cli: Command) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(generator, &mut cli, "mxfp4", &mut text);
    text
}
