//! `mxfp4 bench serve`

mod answer;
mod client;
mod drive;
mod generator;
mod level;
mod load;
mod plot;
mod profile;
mod prompts;
mod record;
mod report;
mod table;
mod target;

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use mxfp4_env::{Environment, Sdk};
use mxfp4_gpu::{Gpu, Inventory, MemoryWatch};
use mxfp4_launch::{Launch, Model};
use mxfp4_process::CaughtSignals;

use self::generator::{Generator, Profile};
use self::level::Whose;
use self::load::LoadArgs;
use self::record::{Record, Start};
use super::file;
use super::record::{Gpu as GpuName, Versions};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::prepare::ensure_sdk;
use crate::serving::{StartArgs, environment, prepare, start_for_command};
use mxfp4_client::{ClientArgs, Url};

/// Start a server, drive it, and print how fast it answers.
///
/// The server is that of `mxfp4 serve`, with the same checks and the same flags after `--`; --url measures one that runs
/// already. Streaming requests with prompts and answers of fixed lengths are sent, so many at once, and measured where the
/// answers arrive. Every request is accounted for: those that fail, or that come back with another number of tokens, are
/// counted as lost, and then the exit code is 1.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: StartArgs,
    /// Measure the server at this address, and start none
    #[arg(long, value_name = "URL", conflicts_with_all = ["devices", "telemetry", "max_flags"])]
    url: Option<Url>,
    #[command(flatten)]
    client: ClientArgs,
    /// The folder of the model's tokenizer [default: the model's]
    #[arg(long, value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// Drive this server too, and compare
    #[arg(long, value_name = "URL")]
    peer_url: Option<Url>,
    #[command(flatten)]
    load: LoadArgs,
    /// Write the measurements to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page, index.html, and its charts into this folder
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// After each row, write a table of what the GPU does in one step into this folder (needs cupti-python); with --url
    /// the server must have been started with MXFP4_PROFILE naming it
    #[arg(long, value_name = "DIR")]
    profile: Option<PathBuf>,
    /// Measure nothing: show what --json wrote to this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["url", "peer_url", "json", "profile", "model", "max_flags"])]
    from: Option<PathBuf>,
    /// Write the server's log to this file [default: .mxfp4/bench-serve.log]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Flags for MAX
    #[arg(last = true, value_name = "MAX FLAGS")]
    max_flags: Vec<OsString>,
}

/// Runs the command.
pub fn run(context: &Context, args: Args) -> anyhow::Result<i32> {
    let Some(recorded) = &args.from else {
        return measure(context, &args);
    };
    let record = Record::read(recorded)?;
    table::print(&record);
    if let Some(folder) = &args.report {
        report::write(&record, folder)?;
    }
    Ok(0)
}

fn measure(context: &Context, args: &Args) -> anyhow::Result<i32> {
    file::check_outputs(args.json.as_deref(), args.report.as_deref())?;
    let mut launch = args.server.plan(context, &args.max_flags)?;
    launch.profile = args.profile(context)?;
    let Some(url) = &args.url else {
        // It has no keys, whatever the server has that the configuration is for.
        if args.server.host.is_none() {
            launch.host = Ipv4Addr::LOCALHOST.to_string();
        }
        return measure_own(context, args, &launch);
    };
    if !mxfp4_client::is_healthy(url) {
        let message = format!(
            "no server is ready on {url}; start one, or leave --url out to measure one that is started"
        );
        return Err(Failure::new(Exit::Precondition, message).into());
    }
    let mut made = None;
    if launch.profile.is_some() {
        let sdk = ensure_sdk(context, args.server.no_setup)?;
        let environment = environment(context, Some(&sdk))?;
        made = Some((sdk, environment));
    }
    let bench = Bench {
        context,
        args,
        launch: &launch,
        made: made.as_ref().map(|(sdk, environment)| (sdk, environment)),
    };
    bench.drive(url, None)
}

/// Starts the server, drives it, stops it.
fn measure_own(context: &Context, args: &Args, launch: &Launch) -> anyhow::Result<i32> {
    args.server.check(context, launch)?;
    let (sdk, environment) = prepare(context, args.server.no_setup)?;
    let log = args.log_file.clone().map_or_else(
        || context.workspace.state_dir().join("bench-serve.log"),
        |path| context.cwd.join(path),
    );
    let mut server = match start_for_command(context, launch, (&sdk, &environment), &log)? {
        Ok(server) => server,
        Err(code) => return Ok(code),
    };
    let start = server.startup(|startup, compiled| Start {
        seconds: startup.elapsed().as_secs_f64(),
        phases: startup.times(),
        compiled,
    });
    let bench = Bench {
        context,
        args,
        launch,
        made: Some((&sdk, &environment)),
    };
    let result = bench.drive(&launch.address().target()?, Some(start));
    if server.ended() && mxfp4_process::interrupted().is_none() {
        // What it died of matters more than the answers it did not give.
        server.end()?;
        return Err(Failure::new(Exit::Failed, "MAX stopped while it was measured").into());
    }
    server.stop()?;
    result
}

/// What driving a server takes.
struct Bench<'a> {
    context: &'a Context,
    args: &'a Args,
    launch: &'a Launch,
    /// The SDK and its environment, where a server is started or steps are recorded.
    made: Option<(&'a Sdk, &'a Environment)>,
}

impl Bench<'_> {
    /// Drives the server at `url`, and the peer; prints and writes what was measured.
    fn drive(&self, url: &Url, start: Option<Start>) -> anyhow::Result<i32> {
        let _caught = CaughtSignals::start()?;
        let tokenizer = self.tokenizer()?;
        let servers = (url, self.args.peer_url.as_ref());
        let generator = Generator::new(
            &self.args.load,
            &tokenizer,
            servers,
            &self.args.client,
            self.profile(),
        )?;
        let (gpu, watch) = self.gpus();
        let own = self.made.filter(|_| self.args.url.is_none());
        let version = |package: &str| own.and_then(|(sdk, _)| sdk.version(package));
        let mut record = Record {
            command: self.args.command(),
            model: self.launch.name.clone(),
            gpu,
            versions: Versions {
                mxfp4: env!("CARGO_PKG_VERSION").to_owned(),
                max: version("max"),
                mojo: version("mojo"),
            },
            start,
            levels: Vec::new(),
            peer: Vec::new(),
        };
        let mut printer = table::Printer::default();
        let finished = generator.run(&mut |server, mut level| match server {
            Whose::Ours => {
                level.gpu_memory = watch.as_ref().and_then(MemoryWatch::peak);
                printer.level(&level);
                record.levels.push(level);
            }
            Whose::Peer => record.peer.push(level),
        })?;
        if let (None, Some(signal)) = (finished, mxfp4_process::interrupted()) {
            return Ok(128 + signal);
        }
        table::print_rest(&record);
        self.args.write(&record)?;
        match record.lost() {
            0 => Ok(0),
            lost => Err(Failure::new(
                Exit::Failed,
                format!("{lost} requests were not answered with as many tokens as were asked for"),
            )
            .into()),
        }
    }

    /// What recording steps takes, if it is asked for.
    fn profile(&self) -> Option<Profile<'_>> {
        Some(Profile {
            folder: self.launch.profile.clone()?,
            made: self.made?,
        })
    }

    /// The folder of the tokenizer. A server that was started has fetched it by now.
    fn tokenizer(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.args.tokenizer {
            return Ok(self.context.cwd.join(folder));
        }
        let model = Model::resolve(&self.launch.name, &self.context.cwd, &self.context.ambient);
        model.folder().map(Path::to_path_buf).ok_or_else(|| {
            let message = format!(
                "the tokenizer of {} is not here; name its folder with --tokenizer",
                self.launch.name
            );
            Failure::new(Exit::Precondition, message).into()
        })
    }

    /// The GPUs that are served on, and a watch over their memory; none where no driver tells.
    fn gpus(&self) -> (Option<GpuName>, Option<MemoryWatch>) {
        let Ok(inventory) = Inventory::probe() else {
            return (None, None);
        };
        let mask = self.context.ambient.get("CUDA_VISIBLE_DEVICES");
        let mask = mask.map(|devices| devices.to_string_lossy());
        let visible = inventory.visible(mask.as_deref()).unwrap_or_default();
        let gpus: Vec<Gpu> = self.launch.devices.select(&visible).unwrap_or_default();
        let name = gpus.first().map(|gpu| GpuName {
            name: match gpus.len() {
                1 => gpu.name.clone(),
                count => format!("{count} × {}", gpu.name),
            },
            driver: inventory.driver,
        });
        let watch = (!gpus.is_empty()).then(|| MemoryWatch::start(&gpus));
        (name, watch)
    }
}

impl Args {
    /// The command that measures the same anywhere: without the files and addresses of this machine.
    fn command(&self) -> String {
        let mut command = format!("mxfp4 bench serve {}", self.load.flags().join(" "));
        if let Some(devices) = &self.server.devices {
            command.push_str(&format!(" --devices {devices}"));
        }
        if self.url.is_some() {
            command.push_str(" --url URL");
        }
        if self.peer_url.is_some() {
            command.push_str(" --peer-url URL");
        }
        if !self.max_flags.is_empty() {
            let flags: Vec<_> = self.max_flags.iter().map(|f| f.to_string_lossy()).collect();
            command.push_str(&format!(" -- {}", flags.join(" ")));
        }
        command
    }

    /// The folder of profiles, which exists then.
    fn profile(&self, context: &Context) -> anyhow::Result<Option<PathBuf>> {
        let Some(folder) = self.profile.as_ref().map(|folder| context.cwd.join(folder)) else {
            return Ok(None);
        };
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Some(folder))
    }

    fn write(&self, record: &Record) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            record.write(path)?;
        }
        if let Some(folder) = &self.report {
            report::write(record, folder)?;
        }
        Ok(())
    }
}
