//! `mxfp4 test`

mod batch;
mod events;
mod filter;
mod jobs;
mod junit;
mod mojo;
mod python;
mod queue;
mod report;
mod screen;
mod suggestion;
mod teller;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mxfp4_env::{Options, Sdk};
use mxfp4_launch::has_hopper;
use mxfp4_process::{Command, Stopper};
use serde_json::json;

use self::batch::Batch;
use self::filter::Filter;
use self::mojo::Program;
use self::python::Pytest;
use self::queue::Queue;
use self::report::{Language, Report};
use self::screen::Screen;
use self::suggestion::suggestion;
use self::teller::Teller;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::prepare::ensure_built_with;
use crate::prepare::ensure_sdk;
use crate::ui::duration;
use crate::ui::message_format::{self, MessageFormat};

/// Build, then run the Mojo and the Python tests.
///
/// Mojo tests are the programs kernels/test/test_*.mojo, and what must compile for sm_90a without a GPU too. Python
/// tests are those of pytest in python/tests. Tests that need a Hopper GPU are counted as skipped where there is none.
/// In a Modular checkout the tests that `[tests]` of mxfp4.toml names are run. docs/guides/testing.md tells more.
#[derive(clap::Args)]
pub struct Args {
    /// Run only tests with this in their name: that of a Mojo file or of one of its cases; pytest's -k.
    #[arg(conflicts_with = "filter")]
    name: Option<String>,
    #[command(flatten)]
    how: How,
    /// Print the tests' names and run none.
    #[arg(long)]
    list: bool,
    /// Write the results to this file as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// What is printed: for a person, or one JSON object a line for a program (docs/guides/testing.md).
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    message_format: MessageFormat,
    /// Run the device synchronously, so that an error is reported where it happens. In a Modular checkout that is so
    /// anyway, unless MODULAR_DEVICE_CONTEXT_SYNC_MODE or MODULAR_DEBUG says otherwise.
    #[arg(long)]
    debug: bool,
    /// Fail where the SDK is missing, instead of making it.
    #[arg(long)]
    no_setup: bool,
}

/// Which tests are run, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "how_to_test", multiple = true)]
pub struct How {
    /// Run only tests whose name has EXPR in it, or is matched by it when it is /REGEX/.
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Run only tests that need a GPU.
    #[arg(long, conflicts_with = "no_gpu")]
    gpu: bool,
    /// Run only tests that need no GPU.
    #[arg(long)]
    no_gpu: bool,
    /// Try a test that fails so many times more; one that then passes is reported as flaky.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    retries: u32,
    /// End a Mojo program or a Python test that runs for longer than this, such as 90s, and count it as failed
    /// [default: 30m]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Run so many Mojo programs and parts of the Python tests at once [default: half the cores, as far as the memory
    /// goes]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

/// When a test is taken to hang.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// The share of the GPU's memory, in percent, that MAX sets aside as soon as a program uses the GPU. It is nearly all of
/// it otherwise, and programs at the same time would find none.
const GPU_SHARE: &str = "MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE_PERCENT";
/// What all programs together may set aside: each has its code there too, and contexts of the driver.
const GPU_SHARES: usize = 80;

impl How {
    /// Whether anything was asked for.
    pub fn is_given(&self) -> bool {
        let Self {
            filter,
            gpu,
            no_gpu,
            retries,
            timeout,
            jobs,
        } = self;
        let chosen = filter.is_some() || *gpu || *no_gpu;
        chosen || *retries > 0 || timeout.is_some() || jobs.is_some()
    }
}

/// What both languages' tests run with.
struct Bench<'a> {
    context: &'a Context,
    sdk: Sdk,
    environment: mxfp4_env::Environment,
    screen: Screen,
    filter: Filter,
    /// Only those that need a GPU, or only those that do not.
    gpu: Option<bool>,
    hopper: bool,
    retries: u32,
    timeout: Duration,
    jobs: usize,
    /// Ends whatever runs.
    stopper: Stopper,
}

/// What is run at once with others.
enum Job<'a> {
    Mojo(Program<'a>),
    /// All Python tests in one process.
    Python,
    /// Finds out which Python tests there are, for batches of them.
    Collect,
    Batch(Batch),
}

/// A test that was not run.
struct Listed {
    language: Language,
    name: String,
    gpu: bool,
}

/// A signal ended the run; the report says how far it came.
struct Interrupted(i32);

/// How a run of the tests ended.
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// The counts, in words.
    pub counts: String,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    if args.list {
        return list(context, &args);
    }
    let format = args.message_format;
    let filter = filter(args.name.as_deref(), &args.how)?;
    let (how, junit) = (&args.how, args.junit.as_deref());
    let extra = Extra {
        debug: args.debug,
        no_setup: args.no_setup,
        junit,
    };
    let ran = run_tests(context, filter, how, format, &extra)?;
    Ok(ran.code)
}

/// Builds and runs the tests that `how` chooses, for `mxfp4 build --watch`.
pub fn run_watched(context: &Context, how: &How, format: MessageFormat) -> anyhow::Result<Ran> {
    run_tests(context, filter(None, how)?, how, format, &Extra::default())
}

/// What only `mxfp4 test` itself can be asked for.
#[derive(Default)]
struct Extra<'a> {
    debug: bool,
    no_setup: bool,
    junit: Option<&'a std::path::Path>,
}

fn run_tests(
    context: &Context,
    filter: Filter,
    how: &How,
    format: MessageFormat,
    extra: &Extra,
) -> anyhow::Result<Ran> {
    let start = Instant::now();
    let sdk = ensure_sdk(context, extra.no_setup)?;
    let options = mxfp4_toolchain::build::Options::default();
    ensure_built_with(context, Some(&sdk), &options, &mut |event| {
        format.event(&event);
    })?;
    let bench = Bench::new(context, sdk, filter, how, format, extra.debug)?;
    let (report, interrupted) = run_all(&bench)?;
    let filter = bench.filter.clone();
    // The last of its lines goes before the summary comes.
    drop(bench);
    let time = start.elapsed();
    match format {
        MessageFormat::Human => println!("{}", report.summary(time)),
        MessageFormat::Json => message_format::print(&report.to_json(time)),
    }
    if let Some(junit) = extra.junit {
        junit::write(&report, time, junit)?;
    }
    let ran = |code| Ran {
        code,
        counts: report.counts(),
    };
    if let Some(Interrupted(code)) = interrupted {
        return Ok(ran(code));
    }
    if report.total() == 0 {
        let meant = filter.part().map(|part| suggestion(context, part));
        anyhow::bail!("{filter}{}", meant.unwrap_or_default());
    }
    if let Some(missed) = report.missed(&filter, how.gpu) {
        anyhow::bail!("{missed}");
    }
    Ok(ran(i32::from(report.has_failures())))
}

/// Prints the names of the tests, each as `--filter` takes it.
fn list(context: &Context, args: &Args) -> anyhow::Result<i32> {
    let sdk = ensure_sdk(context, args.no_setup)?;
    let filter = filter(args.name.as_deref(), &args.how)?;
    let format = args.message_format;
    let bench = Bench::new(context, sdk, filter, &args.how, format, args.debug)?;
    let mut listed = mojo::list(&bench)?;
    let interrupted = python::list(&bench, &mut listed)?;
    for test in listed {
        match args.message_format {
            MessageFormat::Human => bench
                .screen
                .line(&format!("{}: {}", test.language, test.name)),
            MessageFormat::Json => message_format::print(&json!({
                "reason": "test",
                "language": test.language.to_string(),
                "name": test.name,
                "gpu": test.gpu,
            })),
        }
    }
    Ok(interrupted.map_or(0, |Interrupted(code)| code))
}

fn filter(name: Option<&str>, how: &How) -> anyhow::Result<Filter> {
    match (name, &how.filter) {
        (Some(name), _) => Ok(Filter::Name(name.to_owned())),
        (None, None) => Ok(Filter::All),
        (None, Some(text)) => Filter::parse(text)
            .map_err(|error| Failure::new(Exit::Usage, format!("--filter {text}: {error}")).into()),
    }
}

/// Runs all jobs. A signal, or what keeps the tests from being run at all, ends those that run, and no other begins.
fn run_all(bench: &Bench) -> anyhow::Result<(Report, Option<Interrupted>)> {
    let report = Mutex::new(Report::default());
    let teller = Teller::new(&bench.screen, &report);
    teller.begin(Language::Mojo);
    teller.begin(Language::Python);
    drop(teller);
    let pytest = Pytest::new(bench)?;
    let queue = Queue::new(jobs(bench, pytest.as_ref())?);
    let end = Mutex::new(None);
    queue.run(bench.jobs, |job| {
        // Those that a signal has ended say so only once they have ended.
        if mxfp4_process::interrupted().is_some() {
            return queue.close();
        }
        let mut teller = Teller::new(&bench.screen, &report);
        let result = match (job, &pytest) {
            (Job::Mojo(program), _) => program.check(&mut teller),
            (Job::Python, Some(pytest)) => pytest.run(&mut teller),
            (Job::Collect, Some(pytest)) => pytest.collect(&mut teller).map(|collected| {
                let (first, last): (Vec<_>, Vec<_>) =
                    collected.batches.into_iter().partition(|batch| batch.first);
                let jobs = |batches: Vec<Batch>| batches.into_iter().map(Job::Batch).collect();
                queue.add_first(jobs(first));
                queue.add_last(jobs(last));
                collected.interrupted
            }),
            (Job::Batch(batch), Some(pytest)) => pytest.run_batch(&batch, &mut teller),
            (_, None) => Ok(None),
        };
        let how = match result {
            Ok(None) => return,
            Ok(Some(interrupted)) => Ok(interrupted),
            Err(error) => Err(error),
        };
        queue.close();
        let mut end = end.lock().unwrap_or_else(PoisonError::into_inner);
        // What ends now is ended by this.
        if end.is_none() {
            bench.stopper.stop();
            *end = Some(how);
        }
    });
    let report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    let interrupted = match end.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(Err(error)) => return Err(error),
        Some(Ok(interrupted)) => Some(interrupted),
        None => mxfp4_process::interrupted().map(|signal| Interrupted(128 + signal)),
    };
    Ok((report, interrupted))
}

/// What is to be done, in order. What takes long begins first where there is more than one thread: it would run alone in
/// the end.
fn jobs<'a>(bench: &'a Bench, pytest: Option<&Pytest>) -> anyhow::Result<Vec<Job<'a>>> {
    let programs = mojo::programs(bench)?;
    let python = pytest.map(|pytest| match pytest.divides() {
        true => Job::Collect,
        false => Job::Python,
    });
    if bench.jobs == 1 {
        return Ok(programs.into_iter().map(Job::Mojo).chain(python).collect());
    }
    let (long, short): (Vec<_>, Vec<_>) = programs.into_iter().partition(Program::is_long);
    let programs = long.into_iter().chain(short).map(Job::Mojo);
    Ok(python.into_iter().chain(programs).collect())
}

impl<'a> Bench<'a> {
    fn new(
        context: &'a Context,
        sdk: Sdk,
        filter: Filter,
        how: &How,
        format: MessageFormat,
        debug: bool,
    ) -> anyhow::Result<Self> {
        let options = Options {
            debug,
            testing: true,
            ..Options::default()
        };
        let jobs = how.jobs.map_or_else(jobs::default, usize::from);
        Ok(Self {
            context,
            environment: context.environment(Some(&sdk), options)?,
            sdk,
            screen: Screen::new(context, format, jobs),
            filter,
            gpu: (how.gpu || how.no_gpu).then_some(how.gpu),
            hopper: has_hopper(&context.ambient),
            retries: how.retries,
            timeout: how.timeout.unwrap_or(TIMEOUT),
            jobs,
            stopper: Stopper::new(),
        })
    }

    /// A command as a test runs it: in the workspace's root, in its environment. All that it starts ends with it.
    fn prepare(&self, command: &Command) -> Command {
        let command = command
            .clone()
            .environment(&self.environment)
            .cwd(&self.context.workspace.root)
            .whole_tree();
        match self.jobs > 1 && self.hopper && self.context.ambient.get(GPU_SHARE).is_none() {
            true => command.env(GPU_SHARE, (GPU_SHARES / self.jobs).max(1).to_string()),
            false => command,
        }
    }

    /// Why a test failed that ran for too long.
    fn timed_out(&self) -> String {
        let seconds = self.timeout.as_secs_f64();
        format!(
            "timed out after {seconds} s and was ended with all that it had started (--timeout)"
        )
    }
}
