//! `mxfp4 doctor`

mod ask;
mod bazel;
mod disk;
mod editor;
mod facts;
mod finding;
mod gpu;
mod hub;
mod kernels;
mod linker;
mod platform;
mod python;
mod report;
mod rust;
mod sdk;
mod serving;

use std::io::{self, Write};
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use mxfp4_env::Layout;
use mxfp4_launch::{Flags, Request};

use self::facts::Facts;
use self::finding::{Finding, State};
use crate::context::Context;
use crate::exit::Exit;

/// Check what building, testing and serving need, and say what to do
///
/// Prints a row for each thing, what is wrong with a reason and a remedy, and whether build, test and serve can work.
/// Exits with 0 when they can and with 5 when not; with names, only those count: on a machine without a GPU `mxfp4
/// doctor build test` succeeds. Nothing is made or changed, and nothing connects to the network without --online.
#[derive(clap::Args)]
pub struct Args {
    /// What must be able to work [default: all three]
    #[arg(value_enum, value_name = "JOB")]
    jobs: Vec<Job>,
    /// Print JSON, as docs/reference/doctor.md describes it
    #[arg(long)]
    json: bool,
    /// Ask the Hugging Face hub for the model too
    #[arg(long)]
    online: bool,
    /// The model to serve: a folder, or a repository of the hub [default: serve.model of mxfp4.toml]
    #[arg(long)]
    model: Option<String>,
    // What `serve` would be started with from here.
    #[arg(long, env = "MAX_SERVE_HOST", hide = true)]
    host: Option<String>,
    #[arg(long, env = "MAX_SERVE_PORT", hide = true, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

/// What can be asked to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Job {
    /// `mxfp4 build`
    Build,
    /// `mxfp4 test`
    Test,
    /// `mxfp4 serve`
    Serve,
}

impl Job {
    /// Every job, in the order in which they are told.
    const ALL: [Self; 3] = [Self::Build, Self::Test, Self::Serve];

    /// Its name on the command line.
    fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Test => "test",
            Self::Serve => "serve",
        }
    }
}

/// One thing to look at.
struct Check {
    /// Its name, which stays the same.
    id: &'static str,
    /// Why it matters.
    why: &'static str,
    /// The jobs that cannot work where it fails.
    needed_by: fn(Layout) -> &'static [Job],
    /// Looks.
    look: fn(&Facts) -> anyhow::Result<Finding>,
}

const NONE: fn(Layout) -> &'static [Job] = |_| &[];
const ALL: fn(Layout) -> &'static [Job] = |_| &Job::ALL;
const SERVE: fn(Layout) -> &'static [Job] = |_| &[Job::Serve];
const TEST: fn(Layout) -> &'static [Job] = |_| &[Job::Test];
const TEST_AND_SERVE: fn(Layout) -> &'static [Job] = |_| &[Job::Test, Job::Serve];

/// Bazel brings its own compiler.
const SDK_JOBS: fn(Layout) -> &'static [Job] = |layout| match layout {
    Layout::Standalone => &Job::ALL,
    Layout::Modular => &[Job::Test, Job::Serve],
};

const CHECKS: &[Check] = &[
    Check {
        id: "platform",
        why: "MAX and Mojo are made for Linux on x86-64 with a glibc that is not too old",
        needed_by: ALL,
        look: platform::platform,
    },
    Check {
        id: "rust",
        why: "building mxfp4 itself from source takes it, and nothing else does",
        needed_by: NONE,
        look: rust::rust,
    },
    Check {
        id: "linker",
        why: "Rust and `mojo build` link programs with `cc`; the tests of the kernels are built so where no Hopper GPU is",
        needed_by: TEST,
        look: linker::linker,
    },
    Check {
        id: "python",
        why: "MAX is served by Python, and the SDK is made for one",
        needed_by: TEST_AND_SERVE,
        look: python::python,
    },
    Check {
        id: "uv",
        why: "`mxfp4 setup` makes the SDK with it",
        needed_by: NONE,
        look: python::uv,
    },
    Check {
        id: "sdk",
        why: "MAX serves the model, and Mojo compiles the kernels",
        needed_by: SDK_JOBS,
        look: sdk::sdk,
    },
    Check {
        id: "versions",
        why: "the kernels and the model are written for these versions of MAX and Mojo",
        needed_by: NONE,
        look: sdk::versions,
    },
    Check {
        id: "environment",
        why: "every command runs MAX and Mojo in it",
        needed_by: ALL,
        look: sdk::environment,
    },
    Check {
        id: "mojo",
        why: "the compiler must start on this machine",
        needed_by: SDK_JOBS,
        look: sdk::mojo,
    },
    Check {
        id: "bazel",
        why: "./bazelw builds the kernel packages of a Modular checkout",
        needed_by: ALL,
        look: bazel::bazel,
    },
    Check {
        id: "kernels",
        why: "MAX runs the experts with the kernel package",
        needed_by: ALL,
        look: kernels::built,
    },
    Check {
        id: "loads",
        why: "a kernel package of another compiler, or without our ops, ends the server while it starts",
        needed_by: TEST_AND_SERVE,
        look: kernels::loads,
    },
    Check {
        id: "workspace",
        why: "the SDK and the kernel packages are made inside the workspace",
        needed_by: ALL,
        look: disk::workspace,
    },
    Check {
        id: "cache",
        why: "a start takes the compiled model from the cache instead of compiling for minutes",
        needed_by: NONE,
        look: disk::cache,
    },
    Check {
        id: "settings",
        why: "`serve` starts with what mxfp4.toml and the variables say",
        needed_by: SERVE,
        look: serving::settings,
    },
    Check {
        id: "gpu",
        why: "the kernels run on Hopper GPUs (sm_90), and the model must fit into what is free",
        needed_by: SERVE,
        look: gpu::gpu,
    },
    Check {
        id: "model",
        why: "GPT-OSS in MXFP4 is what is served",
        needed_by: SERVE,
        look: serving::model,
    },
    Check {
        id: "ports",
        why: "the server and its /metrics listen on a port each",
        needed_by: SERVE,
        look: serving::ports,
    },
    Check {
        id: "huggingface",
        why: "models of the hub are fetched into its cache, with its token where there is one",
        needed_by: NONE,
        look: hub::local,
    },
    Check {
        id: "hub",
        why: "a model that is not in the cache is fetched from there",
        needed_by: SERVE,
        look: hub::online,
    },
    Check {
        id: "editor",
        why: "VS Code edits and debugs Mojo with its extension",
        needed_by: NONE,
        look: editor::editor,
    },
];

/// What was seen of one thing.
struct Row {
    check: &'static Check,
    finding: Finding,
    took: Duration,
}

impl Row {
    /// Whether `job` cannot work because of it.
    fn blocks(&self, job: Job, layout: Layout) -> bool {
        self.finding.state == State::Failing && (self.check.needed_by)(layout).contains(&job)
    }
}

/// Everything that was seen.
struct Examination<'a> {
    context: &'a Context,
    rows: Vec<Row>,
}

impl Examination<'_> {
    /// The rows that keep `job` from working.
    fn against(&self, job: Job) -> impl Iterator<Item = &Row> {
        let layout = self.context.workspace.layout;
        self.rows.iter().filter(move |row| row.blocks(job, layout))
    }

    fn works(&self, job: Job) -> bool {
        self.against(job).next().is_none()
    }
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let request = Request {
        model: args.model,
        host: args.host,
        port: args.port,
        flags: Flags::parse(&context.workspace.config.serve.flags),
        ..Request::default()
    };
    let facts = Facts::gather(context, request, args.online);
    let examination = Examination {
        context,
        rows: examine(&facts)?,
    };
    let text = match args.json {
        true => report::json(&examination),
        false => report::text(&examination),
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    let jobs = match args.jobs.as_slice() {
        [] => &Job::ALL[..],
        named => named,
    };
    Ok(match jobs.iter().all(|&job| examination.works(job)) {
        true => 0,
        false => Exit::Precondition.code().into(),
    })
}

/// Looks at everything at once: some of it starts programs, which takes a while.
fn examine(facts: &Facts) -> anyhow::Result<Vec<Row>> {
    thread::scope(|scope| {
        let started: Vec<_> = CHECKS
            .iter()
            .map(|check| {
                scope.spawn(move || {
                    let start = Instant::now();
                    (check.look)(facts).map(|finding| Row {
                        check,
                        finding,
                        took: start.elapsed(),
                    })
                })
            })
            .collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_a_kind() {
        for (at, check) in CHECKS.iter().enumerate() {
            assert!(CHECKS[..at].iter().all(|other| other.id != check.id));
            assert!(!check.why.ends_with('.'), "{}", check.why);
        }
    }
}
