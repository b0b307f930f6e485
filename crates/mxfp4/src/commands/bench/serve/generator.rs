//! The load generator: every shape with every number of requests at once, on one server or two.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use mxfp4_env::{Environment, Sdk};
use mxfp4_harmony::Vocabulary;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use super::drive::{self, Driven, drive};
use super::level::{Level, Load, Whose};
use super::load::{LoadArgs, Shape};
use super::profile;
use super::prompts::Prompts;
use super::target::Target;

use crate::exit::{Exit, Failure};
use mxfp4_client::{ClientArgs, Url};

/// Sends a load and measures what comes back.
pub struct Generator<'a> {
    load: &'a LoadArgs,
    prompts: Prompts,
    servers: Vec<(Whose, Arc<Target>)>,
    profile: Option<Profile<'a>>,
    runtime: Runtime,
}

/// What profiles of steps take.
pub struct Profile<'a> {
    /// The folder that the server's MXFP4_PROFILE names.
    pub folder: PathBuf,
    /// Whose Python makes the tables, and where.
    pub made: (&'a Sdk, &'a Environment),
}

/// Texts of one load.
struct Texts {
    warmup: Vec<Vec<String>>,
    measured: Vec<String>,
    profile: Vec<String>,
}

impl<'a> Generator<'a> {
    /// A generator of this load for the server at `url`, and the peer; `tokenizer` is the folder of the model's.
    pub fn new(
        load: &'a LoadArgs,
        tokenizer: &Path,
        (url, peer): (&Url, Option<&Url>),
        client: &ClientArgs,
        profile: Option<Profile<'a>>,
    ) -> anyhow::Result<Self> {
        let file = tokenizer.join("tokenizer.json");
        let vocabulary = Vocabulary::from_file(&file)
            .map_err(|error| Failure::new(Exit::Precondition, error.to_string()))?;
        let prompts = Prompts::of(vocabulary);
        let runtime = drive::runtime().context("cannot start the load generator's threads")?;
        let mut servers = vec![(Whose::Ours, Arc::new(Target::find(url, client, &runtime)?))];
        if let Some(peer) = peer {
            // The key is ours alone.
            let client = client.without_key();
            servers.push((
                Whose::Peer,
                Arc::new(Target::find(peer, &client, &runtime)?),
            ));
        }
        let most = load.concurrency.iter().max();
        room_for(most.map_or(1, |most| most.get().into()));
        Ok(Self {
            load,
            prompts,
            servers,
            profile,
            runtime,
        })
    }

    /// Drives each server with each load and tells each level; `None` where a signal came before the end.
    pub fn run(&self, found: &mut dyn FnMut(Whose, Level)) -> anyhow::Result<Option<()>> {
        for shape in self.load.shapes() {
            for &concurrency in &self.load.concurrency {
                if self.row(shape, concurrency, found)?.is_none() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(()))
    }

    fn row(
        &self,
        shape: Shape,
        concurrency: NonZeroU32,
        found: &mut dyn FnMut(Whose, Level),
    ) -> anyhow::Result<Option<()>> {
        let texts = self.texts(shape, concurrency)?;
        let load = Load {
            input: shape.input,
            output: shape.output,
            concurrency,
        };
        for (whose, target) in &self.servers {
            let drive = |texts: &[String]| self.drive(target, texts, load);
            for round in &texts.warmup {
                if drive(round).is_none() {
                    return Ok(None);
                }
            }
            let Some(driven) = drive(&texts.measured) else {
                return Ok(None);
            };
            found(*whose, Level::of(load, driven));
            if let Some(profile) = &self.profile
                && *whose == Whose::Ours
            {
                // On its own, because recording takes time.
                let name = format!("{}-{}-{concurrency}", shape.input, shape.output);
                let again = || drive(&texts.profile).map(drop);
                if profile::record(&profile.folder, &name, profile.made, again)?.is_none() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(()))
    }

    /// What is sent. Cached prefixes would be another measurement: no text is sent twice.
    fn texts(&self, shape: Shape, concurrency: NonZeroU32) -> anyhow::Result<Texts> {
        let seed = format!("{} {shape} {concurrency}", self.load.seed);
        let at_once = concurrency.get() as usize;
        let draw = |count, round: &str| {
            self.prompts
                .draw(shape.input.get(), count, &format!("{seed} {round}"))
        };
        let count = self
            .load
            .requests
            .map_or((4 * at_once).max(16), |n| n as usize);
        Ok(Texts {
            warmup: (0..self.load.warmup)
                .map(|round| draw(at_once, &format!("warm-up {round}")))
                .collect::<anyhow::Result<_>>()?,
            measured: draw(count, "measured")?,
            profile: match self.profile {
                Some(_) => draw(at_once, "profile")?,
                None => Vec::new(),
            },
        })
    }

    fn drive(&self, target: &Arc<Target>, texts: &[String], load: Load) -> Option<Driven> {
        let bodies = texts.iter().map(|text| target.body(text, load.output));
        let (at_once, tokens) = (load.concurrency.get() as usize, load.output.get());
        self.runtime
            .block_on(drive(target, bodies.collect(), at_once, tokens))
    }
}

/// Raises the limit of open files by so many connections, as far as the hard one lets it. Those that find no room are
/// requests that fail.
fn room_for(connections: u64) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let raised = soft.saturating_add(connections).min(hard);
        if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
            tracing::debug!("the limit of open files stays {soft}: {error}");
        }
    }
}
