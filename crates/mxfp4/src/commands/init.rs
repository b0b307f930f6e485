//! `mxfp4 init`

mod name;
mod template;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use mxfp4_env::Workspace;

use self::name::Name;
use crate::commands::vscode;
use crate::exit::{Exit, Failure};

/// How many of the things that are in the way are named.
const NAMED: usize = 10;

/// Make a new workspace with a kernel of its own
///
/// A small custom operation in Mojo with its tests in Mojo and Python, settings, and the lock file that `mxfp4 setup`
/// makes the SDK from: `mxfp4 test` builds it and passes, with a GPU and without one. Nothing is written over: the
/// folder must be new or empty, but for .git.
#[derive(clap::Args)]
pub struct Args {
    /// The new workspace's root
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// The kernel package's name, a Mojo identifier [default: the folder's name]
    #[arg(long)]
    name: Option<String>,
}

/// Runs the command, in the folder `cwd`.
pub fn run(cwd: &Path, args: Args) -> anyhow::Result<i32> {
    let root = match args.folder == Path::new(".") {
        true => cwd.to_owned(),
        false => cwd.join(args.folder),
    };
    let name = match args.name {
        Some(name) => name.parse::<Name>(),
        None => Name::of_folder(&root),
    };
    let name = name.map_err(|why| {
        Failure::new(Exit::Usage, why.to_string()).with_hint("choose one with --name")
    })?;
    check_empty(&root)?;
    let mut written = Vec::new();
    if let Err(error) = write_all(&root, &name, &mut written) {
        // Half a workspace helps nobody; folders that are left are empty.
        for path in written {
            let _ = fs::remove_file(path);
        }
        return Err(error);
    }
    tracing::info!(
        "made a workspace with the kernel package {name}; `mxfp4 test` in it builds and tests it"
    );
    let mut line = root.as_os_str().as_bytes().to_vec();
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    Ok(0)
}

fn check_empty(root: &Path) -> anyhow::Result<()> {
    let cannot_read = || format!("cannot look into {}", root.display());
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(cannot_read)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.with_context(cannot_read)?.file_name();
        if name != ".git" {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    names.sort();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let mut list = names.join(", ");
    if more > 0 {
        list = format!("{list} and {more} more");
    }
    let message = format!(
        "{} is not empty: {list} would be in the way; name a new folder",
        root.display()
    );
    Err(Failure::new(Exit::Usage, message).into())
}

fn write_all(root: &Path, name: &Name, written: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for (file, text) in template::files(name) {
        let path = root.join(file);
        let cannot_write = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(cannot_write)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .with_context(cannot_write)?;
        written.push(path.clone());
        file.write_all(text.as_bytes()).with_context(cannot_write)?;
    }
    // What the editor needs follows from the settings.
    let workspace = Workspace::find(Some(root), root)?;
    written.extend(vscode::write_new(&workspace)?);
    Ok(())
}
