//! `mxfp4 man`

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap_mangen::Man;

use crate::exit::{Exit, Failure};

/// Print the manual page, or write a page for each command into a folder
///
/// `mxfp4 man | man -l -` shows it. `mxfp4 man ~/.local/share/man/man1` installs mxfp4.1 and a page for each command, and
/// `man mxfp4-serve` then finds it.
#[derive(clap::Args)]
pub struct Args {
    /// Write mxfp4.1, mxfp4-build.1 and so on into this folder, which is made if it is not there
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The page of this command, such as serve: `mxfp4 help` shows the same.
    #[arg(long, value_name = "COMMAND", hide = true, conflicts_with = "folder")]
    page: Option<String>,
}

/// Runs the command, for the command line `cli`.
pub fn run(args: Args, cli: clap::Command) -> anyhow::Result<i32> {
    if let Some(page) = &args.page {
        return Err(Failure::new(Exit::Usage, "there is no --page any more")
            .with_hint(format!(
                "write `mxfp4 help {}`, or `mxfp4 man DIR` for all pages",
                page.replace('-', " ")
            ))
            .into());
    }
    let mut pages = Vec::new();
    let mut command = cli.disable_help_subcommand(true);
    command.build();
    collect(&command, &mut pages)?;
    if let Some(folder) = args.folder {
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        for (name, page) in pages {
            let path = folder.join(format!("{name}.1"));
            fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        }
        return Ok(0);
    }
    let page = pages.first().map(|(_, page)| page.as_slice());
    io::stdout().write_all(page.unwrap_or_default())?;
    Ok(0)
}

/// The pages of `command` and of those below it, by their names.
fn collect(command: &clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut page = Vec::new();
    Man::new(command.clone())
        .source(concat!("mxfp4 ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    pages.push((name.to_owned(), page));
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        collect(below, pages)?;
    }
    Ok(())
}
