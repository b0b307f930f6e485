//! What several checks start from, found out once.

use std::path::PathBuf;

use mxfp4_env::{Ambient, Environment, Layout, Options, Sdk};
use mxfp4_launch::{Launch, Request};
use mxfp4_toolchain::build;

use crate::context::Context;
use crate::ui::error::{hinted, message};

/// The workspace, and what is known of it before anything is looked at more closely.
pub struct Facts<'a> {
    /// The workspace and the variables.
    pub context: &'a Context,
    /// The SDK, none, or why it cannot be told.
    pub sdk: Result<Option<Sdk>, mxfp4_env::Error>,
    /// The computed environment, or why there is none.
    pub environment: Result<Environment, mxfp4_env::Error>,
    /// The kernel packages that have to be built, where there is an SDK to build them with.
    pub outdated: Option<Result<Vec<String>, String>>,
    /// What `serve` would start, or why it would start nothing.
    pub launch: Result<Launch, String>,
    /// Whether the network may be used.
    pub online: bool,
}

impl<'a> Facts<'a> {
    /// Finds out; a few milliseconds, no process.
    pub fn gather(context: &'a Context, request: Request, online: bool) -> Self {
        let sdk = context.sdk();
        let found = sdk.as_ref().ok().and_then(Option::as_ref);
        let environment = context.environment(found, Options::default());
        let outdated = found
            .filter(|_| context.workspace.layout == Layout::Standalone)
            .map(|sdk| {
                let environment = environment
                    .as_ref()
                    .map_err(|error| hinted(error, error.hint()))?;
                build::outdated(context, sdk, environment).map_err(|error| message(&error.into()))
            });
        Self {
            environment,
            outdated,
            launch: Launch::plan(context, request).map_err(|error| message(&error.into())),
            sdk,
            context,
            online,
        }
    }

    /// The SDK, where there is one.
    pub fn found_sdk(&self) -> Option<&Sdk> {
        self.sdk.as_ref().ok()?.as_ref()
    }

    /// The variables this process was started with.
    pub fn ambient(&self) -> &Ambient {
        &self.context.ambient
    }

    /// Whether this is a checkout of the Modular monorepo.
    pub fn is_modular(&self) -> bool {
        self.context.workspace.layout == Layout::Modular
    }

    /// The program called `name` on PATH.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.ambient().get("PATH").unwrap_or_default();
        which::which_in(name, Some(path), &self.context.cwd).ok()
    }
}
