//! What a start of MAX consists of: the model, the address, the flags, the variables.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use mxfp4_env::{Context, Environment, Sdk};
use mxfp4_gpu::DeviceSelection;
use mxfp4_process::Command;

use crate::Error;
use crate::address::Address;
use crate::compile_cache::{self, CompileCache};
use crate::entry_point::EntryPoint;
use crate::flags::Flags;
use crate::frontend::{Frontend, OURS};
use crate::gpu::{crowded, gpus, memory};
use crate::migration::{self, Given, Honoured, Migration};
use crate::model::Model;
use crate::port::{METRICS_PORT, METRICS_VARIABLE, port};
use crate::python::{has_starter, python, python_path, search_path};

/// Variables that keep MAX and the libraries under it from sending anything to anyone. `MAX_SERVE_DISABLE_TELEMETRY`
/// is not among them: it would take `/metrics` away too.
const NO_TELEMETRY: [(&str, &str); 3] = [
    (NATIVE_TELEMETRY, "0"),
    ("OTEL_SDK_DISABLED", "true"),
    ("HF_HUB_DISABLE_TELEMETRY", "1"),
];

/// What MAX's native part reads; the workspace's environment turns it off for every command.
const NATIVE_TELEMETRY: &str = "MODULAR_TELEMETRY_ENABLED";

/// What bounds the requests that wait, so that a flood is answered with 429 and does not fill the memory: those that the
/// scheduler knows, and about as many again as are on the way to it.
const QUEUE_LIMITS: [(&str, &str); 2] = [
    ("MAX_SERVE_MAX_PENDING_REQUESTS", "1024"),
    ("MAX_SERVE_MAX_QUEUE_SIZE", "512"),
];

/// The variable that says how many seconds running requests get at the end.
const DRAIN_VARIABLE: &str = "MAX_SERVE_GRACEFUL_SHUTDOWN_TIMEOUT_S";

/// What MAX takes where it does not.
const DRAIN: Duration = Duration::from_secs(5);

/// How long MAX may take to stop its workers: it gives each of them five seconds itself.
const TEARDOWN: Duration = Duration::from_secs(15);

/// What is asked for; what is not comes from the configuration.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The model.
    pub model: Option<String>,
    /// The GPUs.
    pub devices: Option<DeviceSelection>,
    /// The address to listen on.
    pub host: Option<String>,
    /// The port to listen on.
    pub port: Option<u16>,
    /// Whether MAX may send telemetry.
    pub telemetry: bool,
    /// Whether the kernels' check at load is left out.
    pub no_self_check: bool,
    /// How long running requests get at the end.
    pub drain: Option<Duration>,
    /// Who answers HTTP.
    pub frontend: Option<Frontend>,
    /// MAX's flags, which win over everything else.
    pub flags: Flags,
}

/// A start of MAX, decided.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The model, as MAX is given it.
    pub name: String,
    /// The model, as it was found.
    pub model: Model,
    /// The GPUs.
    pub devices: DeviceSelection,
    /// The address to listen on.
    pub host: String,
    /// The port to listen on.
    pub port: u16,
    /// The port of `/metrics`.
    pub metrics_port: u16,
    /// Who answers HTTP.
    pub frontend: Frontend,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Where profiles of steps are left, if any are asked for.
    pub profile: Option<PathBuf>,
    /// What the front end takes over from MAX's settings.
    pub honoured: Honoured,
    /// Whether the front end has a page at `/`.
    pub page: bool,
    telemetry: bool,
    no_self_check: bool,
    drain: Option<Duration>,
    flags: Flags,
}

/// What MAX is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task<'a> {
    /// Serve the model.
    Serve,
    /// Compile the model, for the GPUs of this machine or for such a target.
    Compile(Option<&'a str>),
}

impl Launch {
    /// Decides everything that can be without an SDK. A flag of MAX wins over ours of the same meaning, so that what
    /// is checked is what will run.
    pub fn plan(context: &Context, request: Request) -> Result<Self, Error> {
        let config = &context.workspace.config.serve;
        let given = |name: &str| {
            let value = request.flags.value(name);
            value.map(|value| value.to_string_lossy().into_owned())
        };

        // What the user names is relative to the current folder, MAX's too, and is the model's name in requests as it
        // was typed. What the configuration names is relative to the workspace.
        let (name, model) = match given("model").or(request.model) {
            Some(name) => {
                let model = Model::resolve(&name, &context.cwd, &context.ambient);
                (name, model)
            }
            None => {
                match Model::resolve(&config.model, &context.workspace.root, &context.ambient) {
                    Model::Folder(path) => {
                        (path.to_string_lossy().into_owned(), Model::Folder(path))
                    }
                    repository => (config.model.clone(), repository),
                }
            }
        };

        // MAX would take it for a flag of its own, whatever stands before it.
        if name.is_empty() || name.starts_with('-') {
            return Err(Error::ModelName(name));
        }

        let flag = |source| Error::Devices {
            given: "--devices",
            configured: false,
            source,
        };
        let configured = |source| Error::Devices {
            given: "serve.devices in mxfp4.toml",
            configured: true,
            source,
        };
        let devices = match (given("devices"), request.devices) {
            (Some(text), _) => text.parse().map_err(flag)?,
            (None, Some(devices)) => devices,
            (None, None) => config.devices.parse().map_err(configured)?,
        };
        let port = match given("port") {
            Some(text) => number(&text, || format!("--port {text}"))?,
            None => request.port.unwrap_or(config.port),
        };
        let metrics_port = match context.ambient.get_nonempty(METRICS_VARIABLE) {
            Some(value) => {
                let value = value.to_string_lossy();
                number(&value, || format!("{METRICS_VARIABLE}={value}"))?
            }
            None => METRICS_PORT,
        };
        let frontend = request.frontend.unwrap_or_else(|| {
            Frontend::of(
                context.workspace.layout,
                architectures(context, &request.flags),
            )
        });
        let honoured = match frontend {
            Frontend::Mxfp4 => honoured(context, &request.flags, request.telemetry)?,
            Frontend::Max => Honoured::default(),
        };
        Ok(Self {
            frontend,
            tls: false,
            honoured,
            page: true,
            host: given("host")
                .or(request.host)
                .unwrap_or_else(|| config.host.clone()),
            name,
            model,
            devices,
            port,
            metrics_port,
            telemetry: request.telemetry,
            no_self_check: request.no_self_check,
            profile: None,
            drain: request.drain,
            flags: request.flags,
        })
    }

    /// Where it will listen.
    pub fn address(&self) -> Address {
        Address {
            tls: self.tls,
            host: self.host.clone(),
            port: self.port,
        }
    }

    /// What its address begins with.
    pub fn scheme(&self) -> &'static str {
        self.address().scheme()
    }

    /// How many requests may wait for a batch: those that the scheduler knows, and those on the way to it, which wait at
    /// both ends of a queue.
    pub fn waiting(&self, context: &Context) -> usize {
        let limit = |(name, ours): (&str, &str)| {
            let given = context.ambient.get_nonempty(name);
            let given = given.and_then(|value| value.to_str()?.parse().ok());
            given.or_else(|| ours.parse().ok()).unwrap_or(0)
        };
        let [pending, queue] = QUEUE_LIMITS.map(limit);
        pending + 2 * queue
    }

    /// The largest batch, where a flag says it.
    pub fn batch(&self) -> Option<usize> {
        self.flags.value("max-batch-size")?.to_str()?.parse().ok()
    }

    /// What requests call the model.
    pub fn served_name(&self) -> String {
        let given = self.flags.value("served-model-name");
        given.map_or_else(
            || self.name.clone(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// How long running requests get to finish once the server is to end.
    pub fn drain(&self) -> Duration {
        self.drain.unwrap_or(DRAIN)
    }

    /// How long the server may take to end: it waits for running requests, then MAX stops its workers.
    pub fn grace(&self) -> Duration {
        self.drain() + TEARDOWN
    }

    /// Whether MAX is only asked for its help.
    pub fn asks_for_help(&self) -> bool {
        self.flags.has("help")
    }

    /// What is missing on this machine.
    pub fn problems(&self, context: &Context) -> Vec<Error> {
        let weights = self.model.check(&context.ambient);
        let port = port(&self.host, self.port, self.metrics_port);
        let selected = gpus(&self.devices, &context.ambient);
        let memory = match (&selected, &weights) {
            (Ok(selected), Ok(Some(weights))) => memory(&selected.gpus, *weights),
            _ => Ok(()),
        };
        [
            weights.err().map(Error::from),
            port.err().map(Error::from),
            selected.err().map(Error::from),
            memory.err().map(Error::from),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The command that does `task` with MAX.
    pub fn command(
        &self,
        context: &Context,
        sdk: Option<&Sdk>,
        environment: &Environment,
        task: Task<'_>,
    ) -> Result<Command, Error> {
        let entry_point = match sdk {
            Some(sdk) => {
                let site = sdk.site.clone();
                let no_max = |looked_for| Error::NoMax { site, looked_for };
                EntryPoint::probe(&search_path(sdk, environment)).map_err(no_max)?
            }
            None => EntryPoint::NEWEST,
        };
        let python = match sdk {
            Some(sdk) => python(sdk)?,
            None => "python3".into(),
        };
        let mut command = Command::new(python).environment(environment);
        for (name, value) in self.variables(context) {
            command = command.env(name, value);
        }
        let crowded = task == Task::Serve && self.crowds(context);
        if crowded && context.ambient.get_nonempty(POOL).is_none() {
            command = command.env(POOL, CROWDED.0);
        }
        let (graphs, folder) = (graphs_variable(task), CompileCache::of(context).graphs());
        command = command.env(graphs, folder);
        let starter = has_starter(environment);
        let ours = self.frontend == Frontend::Mxfp4;
        if task == Task::Serve {
            if ours && sdk.is_some() && !starter {
                return Err(Error::NoEngine(python_path(environment)));
            }
            if !entry_point.host_flag && (ours || !self.flags.has("host")) {
                command = command.env("MAX_SERVE_HOST", self.max_host());
            }
        }
        let mut flags = self.our_flags(context, &entry_point, task);
        if crowded {
            flags.push("device-memory-utilization", Some(CROWDED.1.into()));
        }
        let theirs = match self.frontend {
            Frontend::Mxfp4 => migration::for_engine(self.flags.clone()),
            Frontend::Max => self.flags.clone(),
        };
        let flags = flags.overridden_by(theirs);
        let (start, verb): (&[&str], _) = match task {
            Task::Serve if starter => (&["-m", "mxfp4.start"], "serve"),
            Task::Serve => (&["-m"], "serve"),
            // Ends the process before its teardown, which aborts now and then.
            Task::Compile(_) => (&["-m", "mxfp4.run_module"], "warm-cache"),
        };
        Ok(command
            .args(start.iter().copied().chain([entry_point.module, verb]))
            .args(flags.into_words()))
    }

    /// Whether the weights leave the KV cache no room in the share of a GPU's memory that MAX takes by itself.
    fn crowds(&self, context: &Context) -> bool {
        let Some(weights) = self.model.weight_bytes() else {
            return false;
        };
        gpus(&self.devices, &context.ambient).is_ok_and(|selected| crowded(&selected.gpus, weights))
    }

    /// The address that MAX is told. Behind our front end only its metrics listen there, and only we ask for them.
    fn max_host(&self) -> &str {
        match self.frontend {
            Frontend::Mxfp4 => "127.0.0.1",
            Frontend::Max => &self.host,
        }
    }

    fn our_flags(&self, context: &Context, entry_point: &EntryPoint, task: Task<'_>) -> Flags {
        let mut flags = Flags::default();
        let mut set = |name, value: &str| flags.push(name, Some(value.into()));
        set("model", &self.name);
        set("quantization-encoding", entry_point.encoding);
        set("devices", &self.devices.to_string());
        for architecture in &context.workspace.config.serve.custom_architectures {
            set("custom-architectures", architecture);
        }
        if entry_point.tool_call_policy {
            // The front end writes grammars itself; MAX has none for GPT-OSS's calls.
            set("tool-call-policy", "force_unconstrained");
        }
        match task {
            Task::Serve => {
                if entry_point.host_flag {
                    set("host", self.max_host());
                }
                // Behind our front end MAX opens no port, and its log still names this one.
                set("port", &self.port.to_string());
            }
            Task::Compile(Some(target)) => set("target", target),
            Task::Compile(None) => {}
        }
        // MAX's own HTTP would take it to mean JSON without harmony around it.
        if entry_point.structured_output
            && self.frontend == Frontend::Mxfp4
            && !self.flags.denies("enable-structured-output")
        {
            flags.push("enable-structured-output", None);
        }
        // `--force`, which is set below, keeps MAX from turning it on by itself.
        if architectures(context, &self.flags).any(|name| name == OURS)
            && !self.flags.denies("enable-overlap-scheduler")
        {
            flags.push("device-graph-capture", None);
        }
        flags.push("force", None);
        flags
    }

    /// The variables beside the workspace's environment.
    fn variables(&self, context: &Context) -> Vec<(&'static str, OsString)> {
        // The current folder stays off Python's search path: a `max/` or an `email.py` in it would shadow a module.
        let mut variables = vec![("PYTHONSAFEPATH", "1".into())];
        if context
            .ambient
            .get_nonempty(compile_cache::VARIABLE)
            .is_none()
        {
            let cache = CompileCache::of(context);
            variables.push((compile_cache::VARIABLE, cache.folder().into()));
        }
        for (name, limit) in QUEUE_LIMITS {
            if context.ambient.get_nonempty(name).is_none() {
                variables.push((name, limit.into()));
            }
        }
        if self.no_self_check {
            variables.push(("MXFP4_SELF_CHECK", "0".into()));
        }
        if let Some(folder) = &self.profile {
            variables.push(("MXFP4_PROFILE", folder.into()));
        }
        if let Some(time) = self.drain {
            // MAX counts whole seconds.
            let seconds = time.as_millis().div_ceil(1000);
            variables.push((DRAIN_VARIABLE, seconds.to_string().into()));
        }
        if self.telemetry {
            variables.push((NATIVE_TELEMETRY, "1".into()));
        } else {
            variables.extend(NO_TELEMETRY.map(|(name, value)| (name, value.into())));
        }
        variables
    }
}

/// What percentage of a GPU's free memory MAX takes when it starts.
const POOL: &str = "MODULAR_DEVICE_CONTEXT_MEMORY_MANAGER_SIZE_PERCENT";

/// For weights that crowd a GPU: that percentage, and how much of it is for weights, steps and the KV cache. What is left
/// holds the CUDA context and captured graphs.
const CROWDED: (&str, &str) = ("95", "0.95");

/// The architectures that MAX is given: those of the flags, or else of the configuration.
fn architectures<'a>(
    context: &'a Context,
    flags: &Flags,
) -> impl Iterator<Item = String> + use<'a> {
    let configured = &context.workspace.config.serve.custom_architectures;
    let given = flags.values("custom-architectures");
    let configured = given.is_empty().then_some(configured).into_iter().flatten();
    given.into_iter().chain(configured.cloned())
}

/// What the front end takes over from MAX's settings. What would be without effect is refused.
fn honoured(context: &Context, flags: &Flags, telemetry: bool) -> Result<Honoured, Error> {
    let migration = Migration::read(Given {
        flags,
        ambient: &context.ambient,
        folder: &context.cwd,
        telemetry,
    });
    for warning in &migration.warnings {
        tracing::warn!("{warning}");
    }
    match migration.refusals.is_empty() {
        true => Ok(migration.honoured),
        false => Err(Error::Settings(migration.refusals)),
    }
}

fn number(text: &str, given: impl FnOnce() -> String) -> Result<u16, Error> {
    text.parse().map_err(|source| Error::Number {
        given: given(),
        source,
    })
}

/// What tells our Python package where compiled graphs are; see `mxfp4.max_patches.compiled_graphs`.
fn graphs_variable(task: Task<'_>) -> &'static str {
    match task {
        Task::Serve => "MXFP4_COMPILED_GRAPHS",
        Task::Compile(_) => "MXFP4_EXPORT_GRAPHS",
    }
}
