//! Everything that is looked at, in the order in which it is told.

use mxfp4_env::Layout;

use super::check::Check;
use super::goal::Goal;
use super::{
    bazel, disk, editor, gpu, hub, kernels, linker, patches, platform, python, rust, sdk, serving,
};

const NONE: fn(Layout) -> &'static [Goal] = |_| &[];
const ALL: fn(Layout) -> &'static [Goal] = |_| &Goal::ALL;
const SERVE: fn(Layout) -> &'static [Goal] = |_| &[Goal::Serve];
const TEST: fn(Layout) -> &'static [Goal] = |_| &[Goal::Test];
const TEST_AND_SERVE: fn(Layout) -> &'static [Goal] = |_| &[Goal::Test, Goal::Serve];

/// Bazel brings its own compiler.
const SDK_GOALS: fn(Layout) -> &'static [Goal] = |layout| match layout {
    Layout::Standalone => &Goal::ALL,
    Layout::Modular => &[Goal::Test, Goal::Serve],
};

/// All of it.
pub const CHECKS: &[Check] = &[
    Check {
        id: "platform",
        why: "MAX and Mojo are made for Linux on x86-64 with a glibc that is not too old",
        needed_by: ALL,
        look: platform::platform,
    },
    Check {
        id: "rust",
        why: "building mxfp4 itself from source takes it, and nothing else does",
        needed_by: NONE,
        look: rust::rust,
    },
    Check {
        id: "linker",
        why: "Rust and `mojo build` link programs with `cc`; the tests of the kernels are built so where no Hopper GPU is",
        needed_by: TEST,
        look: linker::linker,
    },
    Check {
        id: "python",
        why: "MAX is served by Python, and the SDK is made for one",
        needed_by: TEST_AND_SERVE,
        look: python::python,
    },
    Check {
        id: "uv",
        why: "`mxfp4 setup` makes the SDK with it",
        needed_by: NONE,
        look: python::uv,
    },
    Check {
        id: "sdk",
        why: "MAX serves the model, and Mojo compiles the kernels",
        needed_by: SDK_GOALS,
        look: sdk::sdk,
    },
    Check {
        id: "versions",
        why: "the kernels and the model are written for these versions of MAX and Mojo",
        needed_by: NONE,
        look: sdk::versions,
    },
    Check {
        id: "environment",
        why: "every command runs MAX and Mojo in it",
        needed_by: ALL,
        look: sdk::environment,
    },
    Check {
        id: "mojo",
        why: "the compiler must start on this machine",
        needed_by: SDK_GOALS,
        look: sdk::mojo,
    },
    Check {
        id: "bazel",
        why: "./bazelw builds the kernel packages of a Modular checkout",
        needed_by: ALL,
        look: bazel::bazel,
    },
    Check {
        id: "kernels",
        why: "MAX runs the experts with the kernel package",
        needed_by: ALL,
        look: kernels::built,
    },
    Check {
        id: "loads",
        why: "a kernel package of another compiler, or without our ops, ends the server while it starts",
        needed_by: TEST_AND_SERVE,
        look: kernels::loads,
    },
    Check {
        id: "patches",
        why: "some functions of MAX are replaced while a model is served, where their source is known",
        needed_by: SERVE,
        look: patches::patches,
    },
    Check {
        id: "workspace",
        why: "the SDK and the kernel packages are made inside the workspace",
        needed_by: ALL,
        look: disk::workspace,
    },
    Check {
        id: "cache",
        why: "a start takes the compiled model from the cache instead of compiling for minutes",
        needed_by: NONE,
        look: disk::cache,
    },
    Check {
        id: "settings",
        why: "`serve` starts with what mxfp4.toml and the variables say",
        needed_by: SERVE,
        look: serving::settings,
    },
    Check {
        id: "gpu",
        why: "the kernels run on Hopper GPUs (sm_90), and the model must fit into what is free",
        needed_by: SERVE,
        look: gpu::gpu,
    },
    Check {
        id: "model",
        why: "GPT-OSS in MXFP4 is what is served",
        needed_by: SERVE,
        look: serving::model,
    },
    Check {
        id: "ports",
        why: "the server and its /metrics listen on a port each",
        needed_by: SERVE,
        look: serving::ports,
    },
    Check {
        id: "huggingface",
        why: "models of the hub are fetched into its cache, with its token where there is one",
        needed_by: NONE,
        look: hub::local,
    },
    Check {
        id: "hub",
        why: "a model that is not in the cache is fetched from there",
        needed_by: SERVE,
        look: hub::online,
    },
    Check {
        id: "editor",
        why: "VS Code edits and debugs Mojo with its extension",
        needed_by: NONE,
        look: editor::editor,
    },
];
