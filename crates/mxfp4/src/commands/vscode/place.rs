//! The workspace as its own files name it: `${workspaceFolder}` instead of a path of this machine.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use mxfp4_env::config::PythonVersion;
use mxfp4_env::{Ambient, Environment, Error, Layout, Options, Sdk, Workspace};

/// What VS Code replaces with the workspace's root.
const ROOT: &str = "${workspaceFolder}";

/// The test that is debugged where there is one of this name: the kernel against its reference.
const MAIN_TEST: &str = "test_gpu_grouped_matmul.mojo";

/// What the files are made from. No path of this machine is in it.
pub struct Place {
    /// How the workspace is laid out.
    pub layout: Layout,
    /// Whether `mxfp4` itself is built from the workspace.
    pub has_source: bool,
    /// Whether the SDK that is used is outside of the workspace.
    pub sdk_is_elsewhere: bool,
    /// Folders of Mojo sources, relative to the root.
    pub sources: Vec<String>,
    /// What Bazel builds of them, which comes first: Mojo, then Python.
    pub built: Option<[String; 2]>,
    /// Folders of Python sources, relative to the root.
    pub python_path: Vec<String>,
    /// The SDK's Mojo packages, where they are in the workspace.
    pub library: Option<String>,
    /// The SDK's Python, where it is in the workspace.
    pub interpreter: Option<String>,
    /// The variables that run the device synchronously.
    pub synchronous: Vec<(String, String)>,
    /// The Mojo test to debug.
    pub test: Option<String>,
    /// The Python tests: files and folders.
    pub python_tests: Vec<String>,
}

impl Place {
    /// The workspace with the SDK that it uses. One that is elsewhere, or missing, is taken for the one that `mxfp4
    /// setup` would make: a path of this machine has no place in a file that others read.
    pub fn new(workspace: &Workspace, sdk: Option<&Sdk>) -> Result<Self, Error> {
        let root = &workspace.root;
        let inside = sdk.filter(|sdk| sdk.modular.starts_with(root));
        let Some(inside) = inside else {
            let mut place = Self::for_python(workspace, workspace.config.sdk.python)?;
            place.sdk_is_elsewhere = sdk.is_some();
            return Ok(place);
        };
        let interpreter = inside.python.as_ref();
        Self::with(
            workspace,
            Some(inside.lib_mojo()),
            interpreter
                .filter(|python| python.starts_with(root))
                .cloned(),
        )
    }

    /// The workspace with the SDK that `mxfp4 setup` makes with this Python. None is made in a Modular checkout.
    pub fn for_python(workspace: &Workspace, version: PythonVersion) -> Result<Self, Error> {
        if workspace.layout == Layout::Modular {
            return Self::with(workspace, None, None);
        }
        let venv = workspace.venv_dir();
        let site = venv.join(format!("lib/python{version}/site-packages"));
        let library = site.join("modular/lib/mojo");
        Self::with(workspace, Some(library), Some(venv.join("bin/python")))
    }

    fn with(
        workspace: &Workspace,
        library: Option<PathBuf>,
        interpreter: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let root = &workspace.root;
        let options = Options {
            debug: true,
            ..Options::default()
        };
        // Without the variables of whoever runs this, and without an SDK: what is left is the workspace's own.
        let environment = Environment::compute(workspace, None, &Ambient::default(), options)?;
        let folders = |name: &str, separator: u8| -> Vec<String> {
            let value = environment.get(name).unwrap_or_default();
            value
                .as_bytes()
                .split(|&byte| byte == separator)
                .filter_map(|path| relative(root, Path::new(OsStr::from_bytes(path))))
                // Bazel's outputs come and go, and the file is to stay.
                .filter(|path| !path.starts_with("bazel-bin/"))
                .collect()
        };
        let synchronous = ["MODULAR_DEVICE_CONTEXT_SYNC_MODE", "MODULAR_DEBUG"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), environment.get(name)?.to_str()?.to_owned())))
            .collect();
        let named = |path: Option<PathBuf>| path.and_then(|path| relative(root, &path));
        Ok(Self {
            layout: workspace.layout,
            has_source: root.join("crates/mxfp4/Cargo.toml").is_file(),
            sdk_is_elsewhere: false,
            sources: folders("MODULAR_MOJO_MAX_IMPORT_PATH", b','),
            built: built(workspace),
            python_path: folders("PYTHONPATH", b':'),
            library: named(library),
            interpreter: named(interpreter),
            synchronous,
            test: test(workspace),
            python_tests: workspace
                .config
                .tests
                .python
                .iter()
                .filter_map(|path| path.as_ref().to_str().map(str::to_owned))
                .collect(),
        })
    }
}

fn built(workspace: &Workspace) -> Option<[String; 2]> {
    if workspace.layout != Layout::Modular {
        return None;
    }
    let [mojo, python] = workspace.bazel_paths();
    let root = &workspace.root;
    Some([relative(root, &mojo)?, relative(root, &python)?])
}

/// A path of the workspace, as VS Code is to find it.
pub fn in_workspace(path: &str) -> String {
    match path {
        "" => ROOT.into(),
        path => format!("{ROOT}/{path}"),
    }
}

/// `path` relative to `root`; `None` where it is elsewhere, or cannot be written as JSON.
fn relative(root: &Path, path: &Path) -> Option<String> {
    Some(path.strip_prefix(root).ok()?.to_str()?.to_owned())
}

/// The first Mojo test of the configuration, the main one where it is among them.
fn test(workspace: &Workspace) -> Option<String> {
    let mut tests: Vec<PathBuf> = Vec::new();
    for named in &workspace.config.tests.mojo {
        let path = workspace.root.join(named);
        if path.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            files.retain(|file| {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("test_") && name.ends_with(".mojo")
            });
            files.sort();
            tests.extend(files);
        } else if path.is_file() {
            tests.push(path);
        }
    }
    let main = tests.iter().find(|test| test.ends_with(MAIN_TEST));
    relative(&workspace.root, main.or(tests.first())?)
}
