//! `mxfp4 test`

mod screen;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mxfp4_launch::has_hopper;
use mxfp4_test_runner::{Filter, Interrupted, Screen as _, Settings, TestRun, junit, suggestion};
use serde_json::json;

use self::screen::TestScreen;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::prepare::{ensure_built_with, ensure_sdk};
use crate::ui::duration;
use crate::ui::message_format::{self, MessageFormat};

/// Build, then run the Mojo and the Python tests.
///
/// Mojo tests are the programs kernels/test/test_*.mojo, and what must compile for sm_90a without a GPU too. Python
/// tests are those of pytest in python/tests. Tests that need a Hopper GPU are counted as skipped where there is none.
/// In a Modular checkout the tests that `[tests]` of mxfp4.toml names are run. docs/guides/testing.md tells more.
#[derive(clap::Args)]
pub struct Args {
    /// Run only tests whose name has EXPR in it, or is matched by it when it is /REGEX/.
    #[arg(value_name = "EXPR")]
    filter: Option<String>,
    /// What EXPR was given with.
    #[arg(long = "filter", hide = true, value_name = "EXPR")]
    former_filter: Option<String>,
    #[command(flatten)]
    select: SelectArgs,
    /// Print the tests' names and run none.
    #[arg(long)]
    list: bool,
    /// Write the results to this file as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// What is printed: for a person, or one JSON object a line for a program (docs/guides/testing.md).
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub message_format: MessageFormat,
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
pub struct SelectArgs {
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
impl SelectArgs {
    /// Whether anything was asked for.
    pub fn is_given(&self) -> bool {
        let Self {
            gpu,
            no_gpu,
            retries,
            timeout,
            jobs,
        } = self;
        *gpu || *no_gpu || *retries > 0 || timeout.is_some() || jobs.is_some()
    }

    fn settings(&self, filter: Filter, context: &Context, debug: bool) -> Settings {
        let jobs = self.jobs.map(usize::from);
        Settings {
            filter,
            gpu: (self.gpu || self.no_gpu).then_some(self.gpu),
            retries: self.retries,
            timeout: self.timeout.unwrap_or(TIMEOUT),
            jobs: jobs.unwrap_or_else(Settings::default_jobs),
            debug,
            hopper: has_hopper(&context.ambient),
        }
    }
}

/// How a run of the tests ended.
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// The counts, in words.
    pub counts: String,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    if let Some(text) = &args.former_filter {
        let text = text.replace('\'', "'\\''");
        return Err(Failure::new(Exit::Usage, "there is no --filter any more")
            .with_hint(format!("write `mxfp4 test '{text}'`"))
            .into());
    }
    if args.list {
        return list(context, &args);
    }
    let format = args.message_format;
    let filter = filter(args.filter.as_deref())?;
    let (select, junit) = (&args.select, args.junit.as_deref());
    let extra = Extra {
        debug: args.debug,
        no_setup: args.no_setup,
        junit,
    };
    let ran = run_tests(context, filter, select, format, &extra)?;
    Ok(ran.code)
}

/// Builds and runs the tests that `select` chooses, for `mxfp4 build --watch`.
pub fn run_watched(
    context: &Context,
    expr: Option<&str>,
    select: &SelectArgs,
    format: MessageFormat,
) -> anyhow::Result<Ran> {
    run_tests(context, filter(expr)?, select, format, &Extra::default())
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
    select: &SelectArgs,
    format: MessageFormat,
    extra: &Extra,
) -> anyhow::Result<Ran> {
    let start = Instant::now();
    let sdk = ensure_sdk(context, extra.no_setup)?;
    let options = mxfp4_toolchain::build::Options::default();
    ensure_built_with(context, Some(&sdk), &options, &mut |event| {
        format.event(&event);
    })?;
    let settings = select.settings(filter.clone(), context, extra.debug);
    let screen = TestScreen::new(context, format, settings.jobs);
    let test_run = TestRun::new(context, sdk, settings, &screen)?;
    let (report, interrupted) = mxfp4_test_runner::run(&test_run)?;
    // The last of its lines goes before the summary comes.
    drop(test_run);
    drop(screen);
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
    if let Some(missed) = report.missed(&filter, select.gpu) {
        anyhow::bail!("{missed}");
    }
    Ok(ran(i32::from(report.has_failures())))
}

/// Prints the names of the tests, each as EXPR takes it.
fn list(context: &Context, args: &Args) -> anyhow::Result<i32> {
    let sdk = ensure_sdk(context, args.no_setup)?;
    let filter = filter(args.filter.as_deref())?;
    let format = args.message_format;
    let settings = args.select.settings(filter, context, args.debug);
    let screen = TestScreen::new(context, format, settings.jobs);
    let test_run = TestRun::new(context, sdk, settings, &screen)?;
    let (listed, interrupted) = mxfp4_test_runner::list(&test_run)?;
    for test in listed {
        match format {
            MessageFormat::Human => screen.line(&format!("{}: {}", test.language, test.name)),
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

fn filter(expr: Option<&str>) -> anyhow::Result<Filter> {
    let Some(expr) = expr else {
        return Ok(Filter::All);
    };
    Filter::parse(expr)
        .map_err(|error| Failure::new(Exit::Usage, format!("{expr}: {error}")).into())
}
