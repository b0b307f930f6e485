//! `mxfp4 demo`

mod chat;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::Context as _;
use mxfp4_env::{Environment, Layout, Options, Sdk};
use mxfp4_gpu::{DeviceSelection, Gpu};
use mxfp4_launch::{Access, Error, GpuError, Launch, LogTail, Request, Task, Wait};
use mxfp4_process::{Command, Output};
use mxfp4_toolchain::Error::Interrupted;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::prepare::ensure_built;
use crate::prepare::ensure_sdk;
use crate::serving::{HOPPER, compile, environment};
use crate::ui::error;
use crate::ui::progress::Steps;
use crate::ui::start::View;

/// Make a tiny model and take it through everything this machine can do.
///
/// Writes a GPT-OSS checkpoint with random weights (no download), builds the kernel package and compiles the whole
/// model for Hopper. On a Hopper GPU it then serves the model, sends one chat request and prints the answer. What takes
/// minutes the first time is taken from .mxfp4/cache afterwards.
#[derive(clap::Args)]
pub struct Args {
    /// Fail where the SDK is missing or outdated, instead of making it
    #[arg(long)]
    no_setup: bool,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    if context.workspace.layout == Layout::Modular {
        let message = "the demo needs this project's own kernels and model, which a Modular checkout does not have; run \
                       it in the project's repository";
        return Err(Failure::new(Exit::Config, message).into());
    }
    let gpu = mxfp4_launch::gpus(&DeviceSelection::First, &context.ambient);
    let mut steps = Steps::new(context.verbosity, if gpu.is_ok() { 6 } else { 5 });

    steps.begin("Set up the SDK: MAX and Mojo");
    let sdk = ensure_sdk(context, args.no_setup)?;
    steps.done(sdk.modular.display());

    steps.begin("Write a tiny GPT-OSS checkpoint with random weights");
    let folder = checkpoint(context, &sdk)?;
    steps.done(folder.display());

    steps.begin("Build the kernel package");
    ensure_built(context, Some(&sdk))?;
    let packages = context.workspace.kernel_packages();
    steps.done(display_all(&packages));

    steps.begin("Check that MAX can load it");
    let environment = environment(context, Some(&sdk))?;
    mxfp4_launch::check_packages(context, &sdk, &environment)?;
    steps.done("it can, and finds the ops in it");

    let demo = Demo {
        context,
        sdk,
        environment,
        folder,
    };
    match gpu {
        Ok(selected) => demo.on_gpu(&mut steps, &selected.gpus[0]),
        Err(why) => demo.without_gpu(&mut steps, why),
    }
}

/// What both kinds of machine have after the first steps.
struct Demo<'a> {
    context: &'a Context,
    sdk: Sdk,
    environment: Environment,
    folder: PathBuf,
}

impl Demo<'_> {
    /// Compiles for Hopper and says what was not done.
    fn without_gpu(&self, steps: &mut Steps, why: GpuError) -> anyhow::Result<i32> {
        steps.begin("Compile the whole model for Hopper (sm_90a): minutes the first time");
        let launch = self.launch(0)?;
        let command = launch.command(
            self.context,
            Some(&self.sdk),
            &self.environment,
            Task::Compile(Some(HOPPER)),
        )?;
        let code = compile(command, steps.progress())?;
        if code != 0 {
            return Ok(code);
        }
        steps.done("compiled");
        println!(
            "Done here: the checkpoint was written, the kernel package built and loaded, and the whole model compiled for \
             Hopper (sm_90a).\n\
             Not done here: the model was not run and nothing was served: {}.",
            error::told(&why.into())
        );
        Ok(0)
    }

    /// Serves the model, asks it something and stops it.
    fn on_gpu(&self, steps: &mut Steps, gpu: &Gpu) -> anyhow::Result<i32> {
        steps.begin(&format!(
            "Serve it on {}: minutes the first time, when the model is compiled",
            gpu.name
        ));
        let [port, metrics_port] = free_ports()?;
        let mut launch = self.launch(port)?;
        launch.metrics_port = metrics_port;
        let view = View::step(steps.progress());
        let made = (&self.sdk, &self.environment);
        let mut server = mxfp4_launch::start(
            self.context,
            &launch,
            made,
            Box::new(view),
            Access::default(),
        )?;
        if let Wait::Ended(code) = server.await_ready()? {
            return match code {
                0 => Err(Error::EndedEarly.into()),
                code => Ok(code),
            };
        }
        let url = launch.address().target()?;
        steps.done(format_args!("ready on {url}"));

        steps.begin("Send one chat request");
        let answer = chat::ask(&url, &launch.served_name());
        if let Some(signal) = mxfp4_process::interrupted() {
            server.end()?;
            return Ok(128 + signal);
        }
        let stopped = server.stop();
        println!("{}", answer?);
        steps.done("answered");
        stopped?;
        println!(
            "Done here: the checkpoint was written, the kernel package built and loaded, the whole model compiled for \
             Hopper and served, one chat request answered, the server stopped. The weights are random, and so is the \
             answer."
        );
        Ok(0)
    }

    fn launch(&self, port: u16) -> anyhow::Result<Launch> {
        Ok(Launch::plan(
            self.context,
            Request {
                model: Some(self.folder.to_string_lossy().into_owned()),
                devices: Some(DeviceSelection::First),
                host: Some("127.0.0.1".into()),
                port: Some(port),
                ..Request::default()
            },
        )?)
    }
}

/// The demo's checkpoint. It is made aside and renamed, so what is there is whole.
fn checkpoint(context: &Context, sdk: &Sdk) -> anyhow::Result<PathBuf> {
    let folder = context.workspace.state_dir().join("demo");
    if folder.join("config.json").is_file() {
        return Ok(folder);
    }
    let partial = context
        .workspace
        .state_dir()
        .join(format!("demo.{}.partial", process::id()));
    let environment = context.environment(Some(sdk), Options::default())?;
    let mut tail = LogTail::default();
    let outcome = Command::new(mxfp4_launch::python(sdk)?)
        .environment(&environment)
        .args(["-m", "mxfp4.checkpoint", "--size", "tiny"])
        .arg(&partial)
        .output(Output::Lines)
        .run(&mut |line| tail.push(&line.text))?;
    if !outcome.success() {
        let _ = fs::remove_dir_all(&partial);
        if outcome.interrupted.is_some() {
            return Err(Interrupted(outcome).into());
        }
        let reason = tail.reason().unwrap_or_default();
        anyhow::bail!("the checkpoint could not be written ({outcome}): {reason}");
    }
    remove(&folder)?;
    fs::rename(&partial, &folder)
        .with_context(|| format!("cannot rename {}", partial.display()))?;
    Ok(folder)
}

/// Removes what an older version or a user left in the checkpoint's place.
fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Two ports that nothing listens on.
fn free_ports() -> anyhow::Result<[u16; 2]> {
    let listen = || {
        TcpListener::bind(("0.0.0.0", 0))
            .and_then(|listener| Ok((listener.local_addr()?.port(), listener)))
    };
    // Both are held until both are known, or they might be the same.
    let (first, second) = (listen()?, listen()?);
    Ok([first.0, second.0])
}

fn display_all(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}
