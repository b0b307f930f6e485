//! The kernel packages, with the Mojo compiler or with a checkout's Bazel, and
//! programs beside them.

mod bazel;
mod dialect;
mod event;
mod flags;
mod options;
mod target;
mod targets;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use mxfp4_env::{Context, Environment, Layout, Sdk};
use mxfp4_process::Queue;

pub use self::bazel::modular;
use self::dialect::Dialect;
pub use self::event::Event;
use self::flags::Flags;
pub use self::options::{Options, Profile};
use self::target::{Made, Target};
use self::targets::Targets;
pub use crate::bazelw::{BazelwProblem, bazelw_problem};
use crate::{BuildError, ConfigError, Error, Refused, files, lock};

/// Who else may have the lock of the build folder.
const IN_WORKSPACE: &str = "`mxfp4 build` in this workspace";

/// Builds what is not fresh with the compiler of `sdk`, in the workspace's
/// `environment`. Standalone workspaces only.
pub fn standalone(
    context: &Context,
    sdk: &Sdk,
    environment: &Environment,
    options: &Options,
    on_event: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    debug_assert_eq!(context.workspace.layout, Layout::Standalone);
    let dialect = Dialect::of(sdk)?;
    let flags = Flags::of(sdk, environment, dialect, options)?;
    let here = Targets::new(context, sdk, environment);
    let mut targets = here.packages(dialect, &flags.package)?;
    if let Some(accelerator) = &options.accelerator {
        let checks = here.checks(accelerator, &flags.program);
        if checks.is_empty() && flags.package.is_empty() {
            return Err(ConfigError::NothingFor(accelerator.clone()).into());
        }
        targets.extend(checks);
    } else if options.profile == Some(Profile::Debug) && flags.package.is_empty() {
        tracing::warn!(
            "--debug changes nothing: `mojo {}` of this SDK takes no debug flags, for a package is compiled by what \
             loads it (with --target-accelerator the compile_*.mojo of the tests are compiled with them)",
            dialect.subcommand
        );
    }
    make(context, &targets, environment, options.clean, on_event)
}

/// The names of the kernel packages that [`standalone`] would make now: those
/// that are not built, and those that are not fresh any more.
pub fn outdated(
    context: &Context,
    sdk: &Sdk,
    environment: &Environment,
) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for target in Targets::new(context, sdk, environment).packages(Dialect::of(sdk)?, &[])? {
        if target.examine(false)?.is_some() {
            names.push(target.name);
        }
    }
    Ok(names)
}

/// Takes the packages that are in the build folder for made from the sources and by the compiler that are there, all of
/// which must be known from elsewhere: from a carried workspace's checksums. Where a package is missing nothing happens.
pub fn adopt(context: &Context, sdk: &Sdk, environment: &Environment) -> Result<(), Error> {
    let build_dir = context.workspace.build_dir();
    let _lock = lock::take(&build_dir.join(".lock"), IN_WORKSPACE)?;
    for target in Targets::new(context, sdk, environment).packages(Dialect::of(sdk)?, &[])? {
        target.adopt()?;
    }
    Ok(())
}

/// Whether two SDKs make the same packages: the compiler and its own packages are the same files, or alike.
pub fn is_same_compiler(one: &Sdk, other: &Sdk) -> Result<bool, Error> {
    let (ours, theirs) = (
        files::names(&one.lib_mojo())?,
        files::names(&other.lib_mojo())?,
    );
    if ours != theirs || !files::alike(&one.mojo(), &other.mojo())? {
        return Ok(false);
    }
    for name in ours {
        if !files::alike(&one.lib_mojo().join(&name), &other.lib_mojo().join(&name))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the program `build/FOLDER/NAME` of a Mojo file `FOLDER/NAME.mojo`, the
/// file and its import paths relative to the root, unless it is fresh. Returns
/// the program's path.
pub fn program(
    context: &Context,
    sdk: &Sdk,
    environment: &Environment,
    source: &Path,
    includes: &[&Path],
    on_event: &mut dyn FnMut(Event),
) -> Result<PathBuf, Error> {
    let root = &context.workspace.root;
    if !root.join(source).is_file() {
        return Err(ConfigError::NoSource(root.join(source)).into());
    }
    let folder = root.join(source);
    let folder = folder.parent().and_then(Path::file_name);
    let here = Targets::new(context, sdk, environment);
    let target = here.program(source, includes, &[], folder.unwrap_or_default());
    make(
        context,
        std::slice::from_ref(&target),
        environment,
        false,
        on_event,
    )?;
    Ok(target.output)
}

/// Makes those of `targets` that are not fresh, or all of them `anew`; several at once, where there are cores for it.
fn make(
    context: &Context,
    targets: &[Target],
    environment: &Environment,
    anew: bool,
    on_event: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    let fresh = |target: &Target, on_event: &mut dyn FnMut(Event)| {
        on_event(Event::Made {
            name: &target.name,
            path: &target.output,
            fresh: true,
        });
    };
    // The lock is for those who build; that nothing is to be done is seen
    // without it, for whatever is there is whole.
    if targets
        .iter()
        .map(|target| target.examine(anew))
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .all(Option::is_none)
    {
        for target in targets {
            tracing::trace!("{} is up to date", target.output.display());
            fresh(target, on_event);
        }
        return Ok(());
    }
    let build_dir = context.workspace.build_dir();
    let _lock = lock::take(&build_dir.join(".lock"), IN_WORKSPACE)?;
    let mut failed = Vec::new();
    let mut broken = None;
    for_each_at_once(
        targets,
        |target| target.make(environment, anew),
        |target, made| {
            let (messages, outcome) = match made {
                Ok(Made::Fresh) => return fresh(target, on_event),
                Ok(Made::Built(messages)) => (messages, None),
                Ok(Made::Refused(messages, outcome)) => (messages, Some(outcome)),
                Err(error) => {
                    broken.get_or_insert(error);
                    return;
                }
            };
            for message in &messages {
                let name = &target.name;
                on_event(Event::Message { name, message });
            }
            match outcome {
                None => on_event(Event::Made {
                    name: &target.name,
                    path: &target.output,
                    fresh: false,
                }),
                // Exit code 1 is how it refuses; anything else is worth telling.
                Some(outcome) => failed.push(Refused {
                    name: target.name.clone(),
                    outcome: (outcome.code() != 1).then_some(outcome),
                }),
            }
        },
    );
    if let Some(error) = broken {
        return Err(error);
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(BuildError::Refused(failed).into())
}

/// Does `work` to each of `targets`, as many at once as there are cores, and hands each result to `done` on this thread.
/// After an error nothing more is begun.
fn for_each_at_once<'a>(
    targets: &'a [Target],
    work: impl Fn(&Target) -> Result<Made, Error> + Send + Sync,
    mut done: impl FnMut(&'a Target, Result<Made, Error>),
) {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let queue = Queue::new(targets);
    let (sender, results) = mpsc::channel();
    std::thread::scope(|scope| {
        let queue = &queue;
        scope.spawn(move || {
            queue.run(cores.min(targets.len()), |target: &Target| {
                let result = work(target);
                if result.is_err() {
                    queue.close();
                }
                let _ = sender.send((target, result));
            });
        });
        for (target, result) in results {
            done(target, result);
        }
    });
}
