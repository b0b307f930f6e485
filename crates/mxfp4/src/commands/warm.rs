//! `mxfp4 warm`

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use mxfp4_gpu::DeviceSelection;
use mxfp4_launch::{CompileCache, Error, Flags, Launch, Request, Task};

use crate::context::Context;
use crate::serving::{HOPPER, compile, dry_run, prepare};
use crate::ui::progress::Steps;

/// Compile a model ahead of time, into the cache that `serve` starts from.
///
/// Needs no GPU: without one, and with `--target`, MAX compiles for a GPU that is not there. Takes minutes the first time.
/// Prints the cache's folder. Flags after `--` go to MAX; give those that `serve` will be given, because some of them
/// change what is compiled.
#[derive(clap::Args)]
pub struct Args {
    /// The model: a folder, or a repository of the Hugging Face hub [default: serve.model of mxfp4.toml]
    #[arg(long)]
    model: Option<String>,
    /// What to compile for, such as cuda:sm_90a [default: this machine's Hopper GPU, and without one cuda:sm_90a]
    #[arg(long)]
    target: Option<String>,
    /// Print the command with the variables it gets, and compile nothing; what would be refused is said on stderr
    #[arg(long)]
    dry_run: bool,
    /// Fail where the SDK is missing or outdated, instead of making it
    #[arg(long)]
    no_setup: bool,
    /// Flags for MAX
    #[arg(last = true, value_name = "MAX FLAGS")]
    max_flags: Vec<OsString>,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let configured = Flags::parse(&context.workspace.config.serve.flags);
    let launch = Launch::plan(
        context,
        Request {
            model: args.model,
            flags: configured.overridden_by(Flags::parse(args.max_flags)),
            ..Request::default()
        },
    )?;
    let target = args.target.or_else(|| {
        let has_gpu = mxfp4_launch::gpus(&DeviceSelection::First, &context.ambient).is_ok();
        (!has_gpu).then(|| HOPPER.to_owned())
    });
    let problem = launch.model.check(&context.ambient).err().map(Error::from);
    if args.dry_run {
        let task = Task::Compile(target.as_deref());
        return dry_run(context, &launch, task, problem.as_slice());
    }
    if let Some(problem) = problem {
        return Err(problem.into());
    }

    let mut steps = Steps::new(context.verbosity, 2);
    steps.begin("Make ready: the SDK and the kernel package");
    let (sdk, environment) = prepare(context, args.no_setup)?;
    steps.done("ready");

    let what = target.as_deref().unwrap_or("this machine's GPU");
    steps.begin(&format!("Compile {} for {what}", launch.name));
    let cache = CompileCache::of(context);
    let command = launch.command(
        context,
        Some(&sdk),
        &environment,
        Task::Compile(target.as_deref()),
    )?;
    let code = compile(command, steps.progress())?;
    if code != 0 {
        return Ok(code);
    }
    steps.done(match cache.has_grown() {
        true => "compiled",
        false => "it was in the cache",
    });
    let mut path = cache.folder().as_os_str().as_bytes().to_vec();
    path.push(b'\n');
    io::stdout().write_all(&path)?;
    Ok(0)
}
