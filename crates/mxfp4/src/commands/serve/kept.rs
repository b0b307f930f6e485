//! What a server keeps for its clients: responses, and what reasoning is sealed with.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mxfp4_launch::{Frontend, Kept, Launch};
use mxfp4_server::{SealKey, Store, StoreLimits};

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// The variable that has the keys that reasoning is sealed with.
const VARIABLE: &str = "MXFP4_SEAL_KEY";

/// What `--store` takes beside a file.
const MEMORY: &str = "memory";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a server keeps for its clients.
#[derive(clap::Args)]
pub struct KeptArgs {
    /// Keep responses of /v1/responses in this SQLite database, or with `memory` until the server ends [default: none is
    /// kept]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// How many responses are kept; more, and those go that were not used for the longest time [default: 10000]
    #[arg(long, value_name = "N", requires = "store")]
    store_responses: Option<NonZeroU32>,
    /// How many bytes all responses have together [default: 268435456]
    #[arg(long, value_name = "N", requires = "store")]
    store_bytes: Option<usize>,
    /// How many days a response is kept that nobody uses [default: 30]
    #[arg(long, value_name = "N", requires = "store")]
    store_days: Option<NonZeroU32>,
    /// Seal reasoning that clients keep with the first key of this file, and open it with all: 64 hexadecimal digits a line;
    /// MXFP4_SEAL_KEY has them with commas between [default: a key that is drawn at each start]
    #[arg(long, value_name = "FILE")]
    seal_key_file: Option<PathBuf>,
}

impl KeptArgs {
    /// Refuses what would be without effect, and reads the keys. Opens no store.
    pub fn read(&self, context: &Context, launch: &Launch) -> anyhow::Result<Kept> {
        if launch.frontend == Frontend::Max
            && (self.store.is_some() || self.seal_key_file.is_some())
        {
            let message = "MAX's own HTTP server keeps nothing for its clients: leave out --frontend max, or --store and \
                           --seal-key-file";
            return Err(Failure::new(Exit::Usage, message).into());
        }
        Ok(Kept {
            store: None,
            seal_keys: self.seal_keys(&context.cwd)?,
        })
    }

    /// Opens the store.
    pub fn open(&self, context: &Context) -> anyhow::Result<Option<Store>> {
        let limits = self.limits();
        match &self.store {
            None => Ok(None),
            Some(place) if place.as_os_str() == MEMORY => Ok(Some(Store::memory(limits))),
            Some(place) => match Store::file(&context.cwd.join(place), limits) {
                Ok(store) => Ok(Some(store)),
                Err(error) => Err(Failure::new(Exit::Precondition, error.to_string()).into()),
            },
        }
    }

    fn limits(&self) -> StoreLimits {
        let ours = StoreLimits::default();
        StoreLimits {
            responses: self
                .store_responses
                .map_or(ours.responses, |most| most.get() as usize),
            bytes: self.store_bytes.unwrap_or(ours.bytes),
            age: self.store_days.map_or(ours.age, |days| DAY * days.get()),
        }
    }

    fn seal_keys(&self, cwd: &Path) -> anyhow::Result<Vec<SealKey>> {
        let wrong = |place: &str, why: &dyn std::fmt::Display| {
            Failure::new(Exit::Precondition, format!("{place}: {why}"))
        };
        let mut keys = Vec::new();
        if let Ok(given) = std::env::var(VARIABLE) {
            for key in given.split(',').filter(|key| !key.is_empty()) {
                keys.push(key.parse().map_err(|error| wrong(VARIABLE, &error))?);
            }
        }
        if let Some(path) = &self.seal_key_file {
            let path = cwd.join(path);
            let place = path.display().to_string();
            let text = std::fs::read_to_string(&path).map_err(|error| wrong(&place, &error))?;
            keys.extend(SealKey::of_file(&text).map_err(|error| wrong(&place, &error))?);
        }
        Ok(keys)
    }
}
