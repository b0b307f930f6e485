//! `mxfp4 vscode`

mod document;
mod files;
mod merge;
mod place;

use std::path::PathBuf;

use mxfp4_env::Workspace;

use self::document::{Document, Problem};
use self::place::Place;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Write .vscode from the workspace's environment
///
/// Writes into launch.json, tasks.json, settings.json and extensions.json what they need of us, and keeps everything
/// else that they hold, comments too. Paths are relative to the workspace, so that the files can be committed. A file
/// that cannot be read as VS Code reads it is left alone, and so are the others then.
#[derive(clap::Args)]
pub struct Args {
    /// Change nothing, and fail with exit code 1 where something would be changed
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let folder = context.workspace.root.join(".vscode");
    if args.check {
        return check(context, &folder);
    }
    let sdk = context.sdk().ok().flatten();
    let place = Place::new(&context.workspace, sdk.as_ref())?;
    let documents = documents(&place, &folder)?;
    // Nothing is written before everything could be read.
    for document in documents.iter().filter(|document| document.is_changed()) {
        document.write().map_err(refused)?;
        tracing::info!("wrote {}", document.path().display());
    }
    if documents.iter().all(|document| !document.is_changed()) {
        tracing::info!("{} is as it should be", folder.display());
    }
    Ok(0)
}

/// Writes the files of a workspace that is new and has no SDK yet. Returns their paths.
pub fn write_new(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let place = Place::new(workspace, None)?;
    let documents = documents(&place, &workspace.root.join(".vscode"))?;
    for document in &documents {
        document.write().map_err(refused)?;
    }
    Ok(documents
        .iter()
        .map(|document| document.path().to_owned())
        .collect())
}

/// Whether the files are what they would be with one of the Pythons that an SDK is made for: which one is there differs
/// from machine to machine.
fn check(context: &Context, folder: &std::path::Path) -> anyhow::Result<i32> {
    let workspace = &context.workspace;
    let sdk = context.sdk().ok().flatten();
    let mut places = vec![Place::new(workspace, sdk.as_ref())?];
    for version in workspace.config.sdk.pythons() {
        places.push(Place::for_python(workspace, version)?);
    }
    let mut differing: Vec<PathBuf> = Vec::new();
    for place in &places {
        let changed: Vec<PathBuf> = documents(place, folder)?
            .iter()
            .filter(|document| document.is_changed())
            .map(|document| document.path().to_owned())
            .collect();
        if changed.is_empty() {
            return Ok(0);
        }
        if differing.is_empty() {
            differing = changed;
        }
    }
    let shown: Vec<_> = differing
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let message = format!(
        "not as the workspace's environment has it: {}; run `mxfp4 vscode`",
        shown.join(", ")
    );
    Err(Failure::new(Exit::Failed, message).into())
}

/// The four files, edited.
fn documents(place: &Place, folder: &std::path::Path) -> anyhow::Result<Vec<Document>> {
    files::all(place)
        .into_iter()
        .map(|(name, wanted)| Document::edit(&folder.join(name), &wanted).map_err(refused))
        .collect()
}

fn refused(problem: Problem) -> anyhow::Error {
    Failure::new(Exit::Failed, problem.to_string()).into()
}
