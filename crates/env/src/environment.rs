//! The one computation of the environment.

pub(crate) mod list;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use self::list::{List, Merged};
use crate::sdk::version_of;
use crate::warning::{DEBUG, DEBUG_SYNC, SYNC_MODE};
use crate::workspace::package_files;
use crate::{Ambient, Error, Layout, Restore, Sdk, Warning, Workspace, restore};

/// One variable of the computed environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None` means that it must not be set.
    pub value: Option<OsString>,
    /// Why it has this value.
    pub reason: String,
}

/// What the environment is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Debugging: run the device synchronously.
    pub debug: bool,
    /// Serving: never run the device synchronously, whatever the ambient variables say.
    pub serving: bool,
    /// For a shell: record what is changed, so that it can be undone.
    pub reversible: bool,
    /// For tests: in a Modular checkout the device runs synchronously unless a variable says otherwise, as the checkout's
    /// own environment has it.
    pub testing: bool,
}

/// The variables of a workspace, in the order in which they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The variables that `mxfp4` decides.
    pub variables: Vec<Variable>,
    /// What the user should know.
    pub warnings: Vec<Warning>,
}

impl Environment {
    /// Computes the environment of `workspace`.
    ///
    /// It follows from what `ambient` was before an activation that is recorded in
    /// it, of this workspace or another: computing it again from its own result
    /// changes nothing, and of two workspaces the second leaves nothing of the first.
    pub fn compute(
        workspace: &Workspace,
        sdk: Option<&Sdk>,
        ambient: &Ambient,
        options: Options,
    ) -> Result<Self, Error> {
        let record = Restore::of(ambient);
        let before = record
            .as_ref()
            .map_or_else(|| ambient.clone(), |record| record.undone(ambient));
        let again = record
            .as_ref()
            .filter(|record| record.root() == workspace.root);
        let mut from = before.clone();
        if again.is_some() {
            // Debugging was asked for once, and goes on until it is undone.
            for name in [SYNC_MODE, DEBUG, restore::HOOK] {
                match ambient.get(name) {
                    Some(value) => from.set(name, value),
                    None => from.remove(name),
                }
            }
        }
        let mut computation = Computation {
            workspace,
            ambient: &from,
            result: Self::default(),
        };
        match sdk {
            Some(sdk) => computation.sdk(sdk),
            None => computation.no_sdk(),
        }
        computation.import_path(sdk)?;
        computation.python_path(sdk)?;
        computation.extensions()?;
        computation.single(
            "MAX_ALLOW_UNSUPPORTED_ENCODING",
            "1",
            "lets MAX versions that do not list MXFP4 for GPT-OSS load it".into(),
        );
        if let Some(sdk) = sdk {
            computation.path(sdk)?;
        }
        computation.synchronous(options);
        let mut result = computation.result;
        if let Some(record) = &record {
            result.restore(record, ambient, &from);
        }
        if options.reversible {
            result.record(workspace, &before, again);
        } else if record.is_some() && again.is_none() {
            result.push(restore::VARIABLE, None, "another workspace's".into());
        }
        Ok(result)
    }

    /// Adds what explains a variable that only tests are given.
    pub fn explain_tests(&mut self, workspace: &Workspace, ambient: &Ambient) {
        if is_synchronous_for_tests(workspace, &restore::before(ambient))
            && !self.decides(SYNC_MODE)
        {
            let reason = "not set: `mxfp4 test` sets it to true in a Modular checkout, as the checkout's own environment \
                          does; for `run`, `shell` and `env` --debug does";
            self.push(SYNC_MODE, None, reason.into());
        }
    }

    /// What undoes the activation that is recorded in `ambient`; `None` where none is.
    pub fn undo(ambient: &Ambient) -> Result<Option<Self>, Error> {
        let Some(record) = Restore::recorded(ambient)? else {
            return Ok(None);
        };
        let mut result = Self::default();
        result.restore(&record, ambient, &record.undone(ambient));
        let reason = "nothing is active any more";
        for name in [restore::HOOK, restore::VARIABLE] {
            if ambient.get(name).is_some() && !result.decides(name) {
                result.push(name, None, reason.into());
            }
        }
        Ok(Some(result))
    }

    /// What `record` changed, and is not decided anew, as it is in `before`.
    fn restore(&mut self, record: &Restore, ambient: &Ambient, before: &Ambient) {
        let reason = format!("as it was before {} was activated", record.root().display());
        for name in record.names().chain([restore::HOOK]) {
            let value = before.get(name);
            if value != ambient.get(name) && !self.decides(name) {
                self.push(name, value.map(OsStr::to_owned), reason.clone());
            }
        }
    }

    /// Adds the record of what differs from `before`.
    fn record(&mut self, workspace: &Workspace, before: &Ambient, again: Option<&Restore>) {
        let mut record = Restore::new(&workspace.root);
        for variable in &self.variables {
            record.change(
                &variable.name,
                before.get(&variable.name),
                variable.value.as_deref(),
            );
        }
        if let Some(again) = again {
            record.keep(again, &[SYNC_MODE, DEBUG]);
        }
        match record.encode() {
            Some(text) => self.push(
                restore::VARIABLE,
                Some(text.into()),
                "what `mxfp4 env --unset` restores".into(),
            ),
            None => {
                self.push(restore::VARIABLE, None, "too long to be recorded".into());
                self.warnings.push(Warning::TooLong);
            }
        }
    }

    fn decides(&self, name: &str) -> bool {
        self.variables.iter().any(|variable| variable.name == name)
    }

    fn push(&mut self, name: &str, value: Option<OsString>, reason: String) {
        self.variables.push(Variable {
            name: name.into(),
            value,
            reason,
        });
    }

    /// The value of `name`, where this environment sets it.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .iter()
            .find(|variable| variable.name == name)?
            .value
            .as_deref()
    }

    /// `ambient` with these variables set and unset.
    pub fn apply(&self, ambient: &Ambient) -> Ambient {
        let mut result = ambient.clone();
        for variable in &self.variables {
            match &variable.value {
                Some(value) => result.set(&variable.name, value),
                None => result.remove(&variable.name),
            }
        }
        result
    }
}

/// Whether tests run the device synchronously where nobody has asked for it.
fn is_synchronous_for_tests(workspace: &Workspace, ambient: &Ambient) -> bool {
    workspace.layout == Layout::Modular
        && [SYNC_MODE, DEBUG]
            .iter()
            .all(|name| ambient.get(name).is_none())
}

/// The option that stands for [`DEBUG_SYNC`] and these.
const SENSIBLE: &str = "sensible";
const SENSIBLE_OTHERS: &str =
    "nan-check,assert-level=all,stack-trace-on-error,stack-trace-on-crash,source-tracebacks";

struct Computation<'a> {
    workspace: &'a Workspace,
    ambient: &'a Ambient,
    result: Environment,
}

impl Computation<'_> {
    /// Something that would send data: `off` unless the user has decided.
    fn quiet(&mut self, name: &str, off: &str, on: &str) {
        let (value, reason) = match self.ambient.get_nonempty(name) {
            Some(value) => (value.to_owned(), "kept as it was set".into()),
            None => (
                off.into(),
                format!("nothing is sent unless you ask for it; set it to {on} to allow it"),
            ),
        };
        self.push(name, Some(value), reason);
    }

    /// What the Python script `mojo` sets before it runs the native one.
    fn sdk(&mut self, sdk: &Sdk) {
        let reason = format!("the SDK at {} ({})", sdk.site.display(), sdk.source);
        self.single("MODULAR_MAX_PACKAGE_ROOT", &sdk.modular, reason.clone());
        self.single("MODULAR_MOJO_MAX_PACKAGE_ROOT", &sdk.modular, reason);
        self.single(
            "MODULAR_MOJO_MAX_DRIVER_PATH",
            sdk.mojo(),
            "the SDK's native compiler".into(),
        );
        let mblack = self.scripts(sdk).map(|scripts| scripts.join("mblack"));
        match mblack.filter(|mblack| mblack.is_file()) {
            Some(mblack) => self.single(
                "MODULAR_MOJO_MAX_MBLACK_PATH",
                mblack,
                "what `mojo format` runs".into(),
            ),
            None => self.warn(Warning::NoFormatter(sdk.site.clone())),
        }
        // Mojo and MAX report to their makers at every start, the compiler too.
        self.quiet("MODULAR_TELEMETRY_ENABLED", "0", "1");
        // It would not work here (its helper is found by the installer's launcher
        // only), and says so on stderr at every start.
        self.quiet("MODULAR_CRASH_REPORTING_ENABLED", "false", "true");
        self.modular_home(sdk);
        if sdk.modular.join("conda-meta").is_dir() {
            let reason = "the SDK is a conda or pixi environment";
            self.single("CONDA_PREFIX", &sdk.modular, reason.into());
        }
        let pinned = &self.workspace.config.sdk.max;
        if self.workspace.layout == Layout::Standalone
            && let Some(found) = sdk.other_max(pinned)
        {
            self.warn(Warning::OtherMax {
                site: sdk.site.clone(),
                found,
                pinned: pinned.clone(),
            });
        }
        if self.ambient.get_nonempty("PYTHONHOME").is_some() && sdk.python.is_some() {
            let reason = "unset: it would make the SDK's Python load another one's library";
            self.push("PYTHONHOME", None, reason.into());
        }
    }

    /// The folder of `modular.cfg`, whose paths the native compiler prefers to
    /// those beside it: another SDK's would mix the two.
    fn modular_home(&mut self, sdk: &Sdk) {
        let name = "MODULAR_HOME";
        let ours = sdk.modular.join("share/max");
        if ours.join("modular.cfg").is_file() {
            self.single(name, ours, "the SDK's modular.cfg".into());
            return;
        }
        let ambient = self.ambient.get_nonempty(name).map(Path::new);
        if let Some(other) = ambient.filter(|home| home.join("modular.cfg").is_file()) {
            let reason = format!(
                "unset: {} is another SDK's",
                other.join("modular.cfg").display()
            );
            self.push(name, None, reason);
        }
    }

    /// The folder of programs that run with the SDK's Python.
    ///
    /// A carried tree has none that can run here, so the workspace's own are
    /// used, which run the interpreter that `MXFP4_PYTHON` names.
    fn scripts(&self, sdk: &Sdk) -> Option<PathBuf> {
        if !sdk.is_portable {
            return sdk.scripts().map(Path::to_path_buf);
        }
        let shims = self.workspace.root.join("scripts/shims");
        (sdk.python.is_some() && shims.is_dir()).then_some(shims)
    }

    fn no_sdk(&mut self) {
        self.warn(Warning::NoSdk {
            root: self.workspace.root.clone(),
            layout: self.workspace.layout,
        });
    }

    /// Where the Mojo compiler looks for packages.
    fn import_path(&mut self, sdk: Option<&Sdk>) -> Result<(), Error> {
        let workspace = self.workspace;
        let config = &workspace.config;
        let root = &workspace.root;
        let mut list = List::new("MODULAR_MOJO_MAX_IMPORT_PATH", b',');
        if workspace.layout == Layout::Modular {
            let built = workspace.bazel_bin().join("max/kernels/src");
            if built.is_dir() {
                list.workspace(built);
            }
            list.workspace(root.join("max/kernels/src"));
        }
        for kernel in &config.kernels {
            let source: &Path = kernel.source.as_ref();
            let parent = source
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            list.workspace(parent.map_or_else(|| root.clone(), |parent| root.join(parent)));
            kernel
                .includes
                .iter()
                .for_each(|path| list.workspace(root.join(path)));
        }
        for path in &config.tests.mojo_includes {
            list.workspace(root.join(path));
        }
        if let Some(sdk) = sdk {
            list.sdk(sdk.lib_mojo());
        }
        let merged = self.merge(&list)?;
        let reason = merged.reason("the workspace's sources", "the SDK's packages");
        self.push(list.name, merged.value, reason);
        Ok(())
    }

    /// Where Python looks for packages.
    fn python_path(&mut self, sdk: Option<&Sdk>) -> Result<(), Error> {
        let root = &self.workspace.root;
        let mut list = List::new("PYTHONPATH", b':');
        match self.workspace.layout {
            Layout::Standalone => list.workspace(root.join("python")),
            Layout::Modular => {
                let built = self.workspace.bazel_bin().join("max/python");
                if built.is_dir() {
                    list.workspace(built);
                }
                list.workspace(root.join("max/python"));
                list.workspace(root.join("mojo/python"));
            }
        }
        if let Some(sdk) = sdk.filter(|sdk| sdk.is_portable) {
            list.sdk(sdk.site.clone());
        }
        let merged = self.merge(&list)?;
        let reason = merged.reason("the workspace's Python", "the SDK's packages");
        self.push(list.name, merged.value, reason);
        Ok(())
    }

    /// The kernel packages that MAX loads.
    fn extensions(&mut self) -> Result<(), Error> {
        let packages = self.workspace.kernel_packages();
        let mut list = List::new("MAX_CUSTOM_EXTENSIONS", b':');
        for package in &packages {
            list.workspace(package.clone());
        }
        list.superseded
            .extend(self.superseded_extensions(&packages));
        list.superseded.extend(self.other_workspace_extensions());
        let merged = self.merge(&list)?;
        let reason = if packages.is_empty() && merged.users == 0 {
            "not set: no kernel package is built (`mxfp4 build`)".into()
        } else if packages.is_empty() {
            format!(
                "{}; no kernel package is built (`mxfp4 build`)",
                merged.reason("", "")
            )
        } else {
            merged.reason("the workspace's kernel packages", "")
        };
        self.push(list.name, merged.value, reason);

        match packages.into_iter().next() {
            Some(package) => {
                let reason = "the workspace's kernel package";
                self.single("MXFP4_KERNEL_PACKAGE", package, reason.into());
            }
            None => self.push(
                "MXFP4_KERNEL_PACKAGE",
                None,
                "not set: no kernel package is built (`mxfp4 build`)".into(),
            ),
        }
        Ok(())
    }

    /// Packages of this workspace that are not loaded beside the ones that are:
    /// the same package in Mojo's other format, and the one that was the first
    /// candidate when this shell was last evaluated.
    fn superseded_extensions(&self, packages: &[PathBuf]) -> Vec<PathBuf> {
        let mut superseded: Vec<PathBuf> = packages
            .iter()
            .flat_map(|package| package_files(&package.with_extension("")))
            .collect();
        if let Some(previous) = self.ambient.get_nonempty("MXFP4_KERNEL_PACKAGE") {
            let candidates = self.workspace.package_candidates();
            let known = candidates
                .iter()
                .flatten()
                .flat_map(|stem| package_files(stem));
            superseded.extend(known.filter(|file| *file == *previous));
            // Where Bazel's link does not lead there, the package has its name in Bazel's own folders.
            if Path::new(previous).starts_with(self.workspace.bazel_bin()) {
                superseded.push(previous.into());
            }
        }
        superseded
    }

    /// Packages that an evaluation in another workspace put into this shell.
    ///
    /// Two packages that register the same operations cannot be loaded together.
    /// `MXFP4_KERNEL_PACKAGE` tells whose they are; what the user lists without
    /// ever having been there is theirs, and stays.
    fn other_workspace_extensions(&self) -> Vec<PathBuf> {
        let previous = self
            .ambient
            .get_nonempty("MXFP4_KERNEL_PACKAGE")
            .map(Path::new);
        let Some(outputs) = previous.and_then(outputs_of_a_workspace) else {
            return Vec::new();
        };
        if outputs.parent() == Some(&self.workspace.root) {
            return Vec::new();
        }
        let listed = self
            .ambient
            .get("MAX_CUSTOM_EXTENSIONS")
            .unwrap_or_default();
        list::entries(listed, b':')
            .map(PathBuf::from)
            .filter(|entry| entry.starts_with(outputs))
            .collect()
    }

    /// Where the shell looks for programs.
    fn path(&mut self, sdk: &Sdk) -> Result<(), Error> {
        let mut list = List::new("PATH", b':');
        // The native `mojo` before the script of that name, which starts Python
        // first. Every other program beside it has a script of its name as well,
        // so nothing is hidden that an activated environment would not hide.
        list.sdk(sdk.bin());
        if let Some(scripts) = self.scripts(sdk) {
            list.sdk(scripts);
        }
        if sdk.is_portable {
            self.carried_python(sdk, &mut list);
        }
        if self.ambient.get_nonempty("PATH").is_none() {
            list.fallback("/usr/local/bin");
            list.fallback("/usr/bin");
            list.fallback("/bin");
        }
        let merged = self.merge(&list)?;
        let reason = merged.reason("", "the SDK's native programs, then its Python");
        self.push(list.name, merged.value, reason);
        Ok(())
    }

    /// Makes `python` the one that a carried tree was made for, where that can be done.
    fn carried_python(&mut self, sdk: &Sdk, list: &mut List) {
        let version = sdk
            .python_version
            .map_or("3".into(), |version| version.to_string());
        let Some(python) = &sdk.python else {
            self.warn(Warning::NoPython {
                site: sdk.site.clone(),
                version: sdk.python_version,
            });
            return;
        };
        let reason = format!("the Python {version} that the SDK was made for");
        self.single("MXFP4_PYTHON", python, reason);
        if self.scripts(sdk).is_some() {
            return;
        }
        let beside = python.with_file_name("python");
        match python.parent() {
            Some(folder) if version_of(&beside) == sdk.python_version => {
                list.sdk(folder.to_path_buf());
            }
            _ => self.warn(Warning::OtherPython {
                site: sdk.site.clone(),
                version: sdk.python_version,
                python: python.clone(),
            }),
        }
    }

    /// Synchronous device execution: right for debugging, ruinous for serving.
    fn synchronous(&mut self, options: Options) {
        let ambient = self.ambient.get_nonempty(DEBUG).unwrap_or_default();
        let is = |entry: &OsStr, option: &str| entry.as_bytes().trim_ascii() == option.as_bytes();
        let others: Vec<&OsStr> = list::entries(ambient, b',')
            .filter(|entry| !entry.is_empty() && !is(entry, DEBUG_SYNC))
            .collect();
        let for_tests = options.testing && is_synchronous_for_tests(self.workspace, self.ambient);
        if (options.debug || for_tests) && !options.serving {
            let asked = match options.debug {
                true => "--debug",
                false => "the tests' default in a Modular checkout",
            };
            self.push(
                SYNC_MODE,
                Some("true".into()),
                format!("{asked}, for MAX up to 26.6"),
            );
            let mut value = OsString::from(DEBUG_SYNC);
            for other in others {
                value.push(",");
                value.push(other);
            }
            self.push(
                DEBUG,
                Some(value),
                format!("{asked}, before the options already set"),
            );
            return;
        }
        let mode = self.ambient.get_nonempty(SYNC_MODE);
        let mode_on = mode.is_some_and(|mode| !is_off(mode));
        let debug_on = list::entries(ambient, b',').any(|entry| is(entry, DEBUG_SYNC));
        let sensible = others.iter().any(|entry| is(entry, SENSIBLE));
        if options.serving {
            if mode.is_some() {
                let reason = "unset: it makes the GPU wait after every operation";
                self.push(SYNC_MODE, None, reason.into());
            }
            if debug_on || sensible {
                let spelled_out = others.iter().map(|entry| match is(entry, SENSIBLE) {
                    true => OsStr::new(SENSIBLE_OTHERS),
                    false => entry,
                });
                let kept = spelled_out.collect::<Vec<_>>().join(OsStr::new(","));
                let reason =
                    format!("without {DEBUG_SYNC}: it makes the GPU wait after every operation");
                self.push(DEBUG, Some(kept).filter(|kept| !kept.is_empty()), reason);
            }
            if mode_on || debug_on || sensible {
                self.warn(Warning::SynchronousOff);
            }
        } else if mode_on || debug_on || sensible {
            let variable = if mode_on { SYNC_MODE } else { DEBUG };
            self.warn(Warning::Synchronous(variable));
        }
    }

    fn merge(&self, list: &List) -> Result<Merged, Error> {
        list.merge(self.ambient.get(list.name), &self.workspace.root)
    }

    /// A variable that holds one thing, and so holds ours whatever it held before.
    fn single(&mut self, name: &str, value: impl Into<OsString>, mut reason: String) {
        let value = value.into();
        if let Some(before) = self.ambient.get_nonempty(name)
            && before != value
        {
            reason = format!("{reason}; replaces {}", before.display());
        }
        self.push(name, Some(value), reason);
    }

    fn push(&mut self, name: &str, value: Option<OsString>, reason: String) {
        self.result.push(name, value, reason);
    }

    fn warn(&mut self, warning: Warning) {
        self.result.warnings.push(warning);
    }
}

/// The values that MAX takes for false.
fn is_off(value: &OsStr) -> bool {
    ["0", "false", "off", "no"]
        .iter()
        .any(|off| value.eq_ignore_ascii_case(off))
}

/// The folder of build outputs that `package` is in, if that is a workspace's.
fn outputs_of_a_workspace(package: &Path) -> Option<&Path> {
    package.ancestors().find(|folder| {
        (folder.ends_with("build") || folder.ends_with("bazel-bin"))
            && folder
                .parent()
                .is_some_and(|root| Layout::of(root).is_some())
    })
}

#[cfg(test)]
mod tests;
