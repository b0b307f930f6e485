//! `mxfp4 hook-env`, which the prompt hook runs: what to change in the shell, and
//! when to ask again.

mod answer;
mod memory;

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

use mxfp4_env::workspace::logical_cwd;
use mxfp4_env::{
    Ambient, Environment, Error, Layout, Options, Restore, Sdk, Variable, Workspace, config,
    restore,
};

use self::answer::Answer;
use self::memory::Memory;
use crate::commands::allow::{Allowed, Fingerprint};
use crate::commands::hook::Shell;
use crate::commands::shell;
use crate::ui::error::hinted;

/// Answer the prompt hook.
#[derive(clap::Args)]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
    /// What the last answer told the user.
    #[arg(allow_hyphen_values = true)]
    told: String,
    /// What the last answer had the shell keep.
    #[arg(allow_hyphen_values = true, default_value = "")]
    memory: String,
}

/// Runs the command. What is wrong with a workspace is told and is no failure: a
/// hook without an answer would ask again at every prompt.
pub fn run(ambient: &Ambient, args: &Args) -> anyhow::Result<i32> {
    let mut answer = Answer::new(ambient, Memory::parse(&args.memory));
    match std::env::current_dir() {
        Ok(_) if is_the_users(ambient) => bring_back(ambient, &mut answer),
        // What was taken back by hand stays away until the folder is another one.
        Ok(_) if answer.memory.is_taken_back(ambient) => {}
        Ok(cwd) => decide(ambient, &logical_cwd(cwd, ambient), &mut answer),
        Err(_) => {}
    }
    answer.refuse(args.shell);
    if answer.told != args.told && !answer.told.is_empty() {
        eprintln!("{}", answer.told);
    }
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&answer.render(args.shell))?;
    stdout.flush()?;
    Ok(0)
}

/// Whether the user activated a workspace, which then stays wherever the shell goes.
fn is_the_users(ambient: &Ambient) -> bool {
    let active = Restore::of(ambient);
    let by_hook = |record: &Restore| ambient.get(restore::HOOK) == Some(record.root().as_os_str());
    ambient.get_nonempty(shell::VARIABLE).is_some()
        || active.is_some_and(|record| !by_hook(&record))
}

/// What this shell's environment is to be in `cwd`.
fn decide(ambient: &Ambient, cwd: &Path, answer: &mut Answer) {
    let found = cwd.ancestors().find_map(|folder| {
        let layout = Layout::of(folder);
        if layout.is_none() {
            answer.watch(folder.join(config::FILE));
            answer.watch(folder.join("bazelw"));
        }
        Some((folder, layout?))
    });
    // Others may have brought back what belongs to a workspace that was left.
    let clean = &answer.memory.without_ghosts(ambient);
    let environment = match found {
        None => None,
        Some((root, layout)) => enter(clean, root, layout, answer).unwrap_or_else(|message| {
            answer.told = format!("mxfp4: {message}");
            None
        }),
    };
    let before = Restore::of(ambient);
    // A record of another version says nothing about what to restore.
    let environment = environment.or_else(|| Environment::undo(clean).ok().flatten());
    let after = environment.unwrap_or_default().apply(clean);
    let now = Restore::of(&after);
    let root = |record: &Option<Restore>| record.as_ref().map(|record| record.root().to_owned());
    let goes_on = now.is_some() && root(&now) == root(&before);
    answer.variables = changes(ambient, &after, goes_on);
    let folder = ambient.get("PWD").unwrap_or_default();
    answer
        .memory
        .activated(before.as_ref(), now.as_ref(), folder);
}

/// The variables that are not in `now` as they are in `after`. Where the activation goes on, the order of PATH is the
/// user's, who has activated a virtual environment for one.
fn changes(now: &Ambient, after: &Ambient, goes_on: bool) -> Vec<Variable> {
    let set = after.iter().map(|(name, value)| (name, Some(value)));
    let unset = now.iter().map(|(name, _)| (name, None));
    let unset = unset.filter(|(name, _)| after.iter().all(|(other, _)| other != *name));
    let names = set.chain(unset).filter_map(|(name, value)| {
        let name = name.to_str()?;
        let is_same = match (now.get(name), value) {
            (Some(now), Some(value)) if goes_on && name == "PATH" => has_same_entries(now, value),
            (now, value) => now == value,
        };
        (!is_same).then(|| Variable {
            name: name.to_owned(),
            value: value.map(OsStr::to_owned),
            reason: "the prompt hook".to_owned(),
        })
    });
    names.collect()
}

/// Whether both have the same entries, in whatever order.
fn has_same_entries(now: &OsStr, after: &OsStr) -> bool {
    let entries = |path: &OsStr| {
        let path = path.as_encoded_bytes().to_vec();
        let mut entries: Vec<_> = path
            .split(|&byte| byte == b':')
            .map(<[u8]>::to_vec)
            .collect();
        entries.sort();
        entries
    };
    now == after || entries(now) == entries(after)
}

/// Puts back on PATH what start-up files of a new shell have taken away from what the user activated: those of a login
/// shell, which tmux starts, set PATH anew.
fn bring_back(ambient: &Ambient, answer: &mut Answer) {
    let Some(record) = Restore::of(ambient).filter(|_| answer.memory.is_first()) else {
        return;
    };
    let path = ambient.get("PATH").unwrap_or_default();
    let put = record.entries("PATH").join(OsStr::new(":"));
    if put.is_empty() || restore::without(path, &put, b':').is_some() {
        return;
    }
    let root = record.root().to_owned();
    let Some(layout) = Layout::of(&root) else {
        return;
    };
    match Fingerprint::of(&root) {
        Ok(print) => match activate(ambient, print, layout, answer) {
            Ok(environment) => {
                answer.variables = changes(ambient, &environment.apply(ambient), false);
                answer
                    .variables
                    .retain(|variable| variable.name != restore::HOOK);
            }
            Err(error) => answer.told = format!("mxfp4: {}", hinted(&error, error.hint())),
        },
        Err(error) => {
            answer.told = format!("mxfp4: cannot read {:?}: {error}", root.join(config::FILE))
        }
    }
}

/// The environment of the workspace at `root`, or why it is not activated. Before
/// it is found to be allowed, nothing of it is used but the bytes of its `mxfp4.toml`.
fn enter(
    ambient: &Ambient,
    root: &Path,
    layout: Layout,
    answer: &mut Answer,
) -> Result<Option<Environment>, String> {
    // In quotes, with escapes: a folder's name must not write to the terminal.
    let print = Fingerprint::of(root)
        .map_err(|error| format!("cannot read {:?}: {error}", root.join(config::FILE)))?;
    let allowed = Allowed::of(ambient).map_err(|error| error.to_string())?;
    let file = allowed.file_of(&print);
    let is_allowed = file.is_file();
    answer.watch(file);
    answer.compare(print.root.join(config::FILE), print.config.clone());
    if !is_allowed {
        let why = match allowed.knows(&print) {
            true => "has changed since it was allowed",
            false => "is not allowed to change this shell",
        };
        return Err(format!(
            "{:?} {why}; if you trust it, run `mxfp4 allow`",
            print.root
        ));
    }
    activate(ambient, print, layout, answer)
        .map(Some)
        .map_err(|error| hinted(&error, error.hint()))
}

/// The environment of an allowed workspace, at its real place: a link to it may
/// point elsewhere a moment later.
fn activate(
    ambient: &Ambient,
    print: Fingerprint,
    layout: Layout,
    answer: &mut Answer,
) -> Result<Environment, Error> {
    let file = print.root.join(config::FILE);
    let text = print.config.map(String::from_utf8).transpose();
    let text = text.map_err(|_| Error::Config(format!("{}: it is not UTF-8", file.display())))?;
    // What was allowed is what is read: the file may be another one by now.
    let workspace = Workspace::with_config(print.root, layout, text.as_deref())?;
    let mut warnings: Vec<String> = Vec::new();
    let sdk = Sdk::find(&workspace, ambient).unwrap_or_else(|error| {
        warnings.push(hinted(&error, error.hint()));
        None
    });
    let options = Options {
        reversible: true,
        ..Options::default()
    };
    let mut environment = Environment::compute(&workspace, sdk.as_ref(), ambient, options)?;
    if environment.get(restore::VARIABLE).is_none() {
        return Err(Error::TooLong);
    }
    environment.variables.push(Variable {
        name: restore::HOOK.into(),
        value: Some(workspace.root.clone().into()),
        reason: "the prompt hook activated it".into(),
    });
    for path in workspace.watched(sdk.as_ref().map(Sdk::mojo)) {
        answer.watch(path);
    }
    warnings.extend(
        environment
            .warnings
            .drain(..)
            .map(|warning| warning.to_string()),
    );
    let lines: Vec<String> = warnings
        .iter()
        .map(|warning| format!("mxfp4: {warning}"))
        .collect();
    answer.told = lines.join("\n");
    Ok(environment)
}
