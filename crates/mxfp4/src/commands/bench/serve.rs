//! `mxfp4 bench serve`

mod answer;
mod client;
mod drive;
mod generator;
mod level;
mod plot;
mod profile;
mod prompts;
mod record;
mod report;
mod table;
mod target;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use clap::builder::TypedValueParser as _;
use mxfp4_env::{Environment, Sdk};
use mxfp4_gpu::{Gpu, Inventory, MemoryWatch};
use mxfp4_launch::{Launch, Model};
use mxfp4_process::CaughtSignals;

use self::generator::{Generator, Profile};
use self::level::Whose;
use self::record::{Record, Start};
use super::file;
use super::record::{Gpu as GpuName, Versions};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::http::{ClientArgs, Url};
use crate::prepare::ensure_sdk;
use crate::serving::{StartArgs, environment, prepare, start_for_command};

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

/// What is sent.
#[derive(clap::Args)]
struct LoadArgs {
    /// How many requests at once, with commas
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..=65_536).try_map(NonZeroU32::try_from),
          default_value = "1,8,64,128")]
    concurrency: Vec<NonZeroU32>,
    /// Tokens of each prompt
    #[arg(long, value_name = "TOKENS",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000).try_map(NonZeroU32::try_from),
          default_value = "128")]
    input: NonZeroU32,
    /// Tokens of each answer
    #[arg(long, value_name = "TOKENS",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000).try_map(NonZeroU32::try_from),
          default_value = "128")]
    output: NonZeroU32,
    /// Tokens of each prompt and each answer, instead of --input and --output; may be given more than once
    #[arg(long, value_name = "INPUT/OUTPUT", conflicts_with_all = ["input", "output"])]
    shape: Vec<Shape>,
    /// How many requests for each row [default: four times those at once, and at least 16]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    requests: Option<u32>,
    /// Rounds before each row that are not counted, each of as many requests as are sent at once
    #[arg(long, value_name = "ROUNDS", value_parser = clap::value_parser!(u32).range(..=1000), default_value = "1")]
    warmup: u32,
    /// What the prompts are drawn with
    #[arg(long, default_value = "0")]
    seed: u64,
}

/// Tokens of a prompt and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    input: NonZeroU32,
    output: NonZeroU32,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let number: NonZeroU32 = text.parse().ok()?;
            (number.get() <= 10_000_000).then_some(number)
        };
        text.split_once('/')
            .and_then(|(input, output)| {
                Some(Self {
                    input: number(input)?,
                    output: number(output)?,
                })
            })
            .ok_or_else(|| "write tokens of the prompt and of the answer, as in 128/128".into())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.input, self.output)
    }
}

impl LoadArgs {
    /// The shapes of the requests.
    fn shapes(&self) -> Vec<Shape> {
        match self.shape.is_empty() {
            true => vec![Shape {
                input: self.input,
                output: self.output,
            }],
            false => self.shape.clone(),
        }
    }

    /// The flags that ask for the same.
    fn flags(&self) -> Vec<String> {
        let concurrency: Vec<String> = self.concurrency.iter().map(|n| n.to_string()).collect();
        let mut flags = Vec::new();
        for shape in self.shapes() {
            flags.extend(["--shape".into(), shape.to_string()]);
        }
        flags.extend(["--concurrency".into(), concurrency.join(",")]);
        if let Some(requests) = self.requests {
            flags.extend(["--requests".into(), requests.to_string()]);
        }
        flags.extend(["--warmup".into(), self.warmup.to_string()]);
        flags.extend(["--seed".into(), self.seed.to_string()]);
        flags
    }
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
    if !mxfp4_launch::is_healthy(url.as_str()) {
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
    let result = bench.drive(&Url::of(&launch.address())?, Some(start));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_two_numbers() {
        let number = |number| NonZeroU32::new(number).unwrap();
        let shape = Shape {
            input: number(2000),
            output: number(256),
        };
        assert_eq!("2000/256".parse(), Ok(shape));
        assert_eq!(shape.to_string(), "2000/256");
        for text in ["", "1", "1/", "/1", "0/1", "1/2/3", "-1/2", "1/99999999999"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}
