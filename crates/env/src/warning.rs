use std::path::PathBuf;

use crate::Layout;
use crate::config::{PythonVersion, Version};

/// Device execution one operation at a time, as MAX up to 26.6 reads it.
pub(crate) const SYNC_MODE: &str = "MODULAR_DEVICE_CONTEXT_SYNC_MODE";
/// The comma-separated debugging options that MAX reads since.
pub(crate) const DEBUG: &str = "MODULAR_DEBUG";
pub(crate) const DEBUG_SYNC: &str = "device-sync-mode";

/// What the user should know about an environment, in a sentence that says what to do, too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// There is no SDK.
    #[error("no MAX and Mojo SDK found for {}: the variables that name it are left out; {}", root.display(), match layout {
        Layout::Standalone => "run `mxfp4 setup`, or name one with MXFP4_SDK",
        Layout::Modular => {
            "activate the checkout's environment, or name an SDK with MXFP4_SDK or `sdk.path` in mxfp4.toml"
        }
    })]
    NoSdk {
        /// The workspace.
        root: PathBuf,
        /// Its layout.
        layout: Layout,
    },
    /// The SDK is of another version than is asked for.
    #[error("the SDK at {} is MAX {found}, and mxfp4.toml asks for {pinned}; run `mxfp4 setup`, or set `sdk.max`", site.display())]
    OtherMax {
        /// The SDK.
        site: PathBuf,
        /// What it is.
        found: String,
        /// What is asked for.
        pinned: Version,
    },
    /// The SDK has no formatter.
    #[error("`mojo format` will not work: the SDK at {} has no mblack that can run here", .0.display())]
    NoFormatter(PathBuf),
    /// The Python that the SDK was made for is not there.
    #[error(
        "the SDK at {} was made for Python {version}, and there is no python{version} on PATH; install it, or use an SDK \
         made for a Python that is there",
        site.display(), version = shown(*version)
    )]
    NoPython {
        /// The SDK.
        site: PathBuf,
        /// What it was made for.
        version: Option<PythonVersion>,
    },
    /// `python` may be another one than the SDK's.
    #[error("the SDK at {} needs Python {}, which `python` may not be; use {}", site.display(), shown(*version), python.display())]
    OtherPython {
        /// The SDK.
        site: PathBuf,
        /// What it was made for.
        version: Option<PythonVersion>,
        /// The one that is right.
        python: PathBuf,
    },
    /// Synchronous execution does not reach a server.
    #[error(
        "synchronous device execution ({SYNC_MODE} or {DEBUG}={DEBUG_SYNC}) is for debugging and is turned off for serving"
    )]
    SynchronousOff,
    /// Synchronous execution stays.
    #[error(
        "{0} makes the GPU wait after every operation; it is left as you set it, unset it when you are done debugging"
    )]
    Synchronous(&'static str),
    /// What an activation changes cannot be undone.
    #[error(
        "the variables are too long for a record of what they were: `mxfp4 env --unset` will not restore them; shorten \
         PATH or PYTHONPATH"
    )]
    TooLong,
}

fn shown(version: Option<PythonVersion>) -> String {
    version.map_or("3".into(), |version| version.to_string())
}
