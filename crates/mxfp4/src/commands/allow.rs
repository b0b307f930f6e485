//! `mxfp4 allow` and `mxfp4 deny`

mod store;

use mxfp4_env::{Workspace, config};

pub use self::store::{Allowed, Fingerprint};
use crate::context::{Context, Place, Verbosity};
use crate::exit::{Exit, ExitContext};

/// Allow the prompt hook to activate this workspace.
///
/// It says that you trust the workspace: its programs, those in .venv/bin for example, then come first in a shell that
/// enters it. It holds for this folder and for mxfp4.toml as it is now; another content needs another `mxfp4 allow`.
#[derive(clap::Args)]
pub struct Args {}

/// Take back what `mxfp4 allow` allowed.
///
/// The prompt hook then restores the variables at the next prompt.
#[derive(clap::Args)]
pub struct DenyArgs {}

/// Runs `mxfp4 allow`.
pub fn run(context: &Context, _args: Args) -> anyhow::Result<i32> {
    let root = &context.workspace.root;
    let print = Fingerprint::of(root).or_exit(
        Exit::Config,
        format!("cannot read {}", root.join(config::FILE).display()),
    )?;
    let allowed = Allowed::of(&context.ambient)?;
    allowed.add(&print).or_exit(
        Exit::Failed,
        format!("cannot write to {}", allowed.folder().display()),
    )?;
    if !context.is_quiet() {
        eprintln!(
            "allowed: {}; the prompt hook activates it (`mxfp4 hook --help`)",
            print.root.display()
        );
    }
    Ok(0)
}

/// Runs `mxfp4 deny`. A workspace whose `mxfp4.toml` is wrong can be denied, too.
pub fn deny(place: &Place) -> anyhow::Result<i32> {
    let (root, _) = Workspace::locate(place.root.as_deref(), &place.cwd)?;
    let root = root
        .canonicalize()
        .or_exit(Exit::Config, format!("cannot find {}", root.display()))?;
    let allowed = Allowed::of(&place.ambient)?;
    let was_allowed = allowed.remove(&root).or_exit(
        Exit::Failed,
        format!("cannot write to {}", allowed.folder().display()),
    )?;
    if place.verbosity != Verbosity::Quiet {
        match was_allowed {
            true => eprintln!("no longer allowed: {}", root.display()),
            false => eprintln!("{} was not allowed", root.display()),
        }
    }
    Ok(0)
}
