//! What of MAX's command line depends on its version.
//!
//! Everything is read from the Python files that will run, and no version number is compared: the first folder of
//! Python's search path that holds the entry point decides.

use std::fs;
use std::path::{Path, PathBuf};

/// Where `max/…` has its command line: since 26.2, and before.
const MODULES: [(&str, &str); 2] = [
    (
        "max._entrypoints.pipelines",
        "max/_entrypoints/pipelines.py",
    ),
    ("max.entrypoints.pipelines", "max/entrypoints/pipelines.py"),
];

/// How `--quantization-encoding` spells MXFP4, the spelling of a MAX made for it first.
const ENCODINGS: [&str; 2] = ["mxfp4", "float4_e2m1fnx2"];

/// Where the encodings are listed, newest first.
const ENCODING_FILES: [&str; 3] = [
    "max/pipelines/modeling/config_enums.py",
    "max/pipelines/lib/config_enums.py",
    "max/pipelines/config_enums.py",
];

/// Where `--tool-call-policy` and `--enable-structured-output` come from, in versions that have them.
const SAMPLING_FILE: &str = "max/pipelines/sampling/sampling_config.py";

/// MAX's command line, as the installed version has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    /// The module to run.
    pub module: &'static str,
    /// The value of `--quantization-encoding` that means MXFP4.
    pub encoding: &'static str,
    /// Whether the address is the flag `--host`; otherwise it is `MAX_SERVE_HOST`.
    pub host_flag: bool,
    /// Whether tool calls can be left unconstrained; otherwise they are.
    pub tool_call_policy: bool,
    /// Whether samplers can be compiled that take masks, which grammars need.
    pub structured_output: bool,
}

impl EntryPoint {
    /// What the newest MAX that is known here has; for a dry run without an SDK.
    pub const NEWEST: Self = Self {
        module: MODULES[0].0,
        encoding: ENCODINGS[1],
        host_flag: true,
        tool_call_policy: true,
        structured_output: true,
    };

    /// Looks for MAX in `search_path`, folders in Python's order. The error is the files that were looked for.
    pub fn probe(search_path: &[PathBuf]) -> Result<Self, String> {
        for root in search_path {
            for (module, file) in MODULES {
                let Ok(source) = fs::read_to_string(root.join(file)) else {
                    continue;
                };
                let sampling = fs::read_to_string(root.join(SAMPLING_FILE)).unwrap_or_default();
                return Ok(Self {
                    module,
                    encoding: encoding(root).unwrap_or(Self::NEWEST.encoding),
                    host_flag: source.contains("\"--host\""),
                    tool_call_policy: sampling.contains("tool_call_policy:"),
                    structured_output: sampling.contains("enable_structured_output:"),
                });
            }
        }
        let files = MODULES.map(|(_, file)| file).join(" or ");
        let folders: Vec<_> = search_path
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        Err(format!("no {files} in {}", folders.join(", ")))
    }
}

fn encoding(root: &Path) -> Option<&'static str> {
    let source = ENCODING_FILES
        .iter()
        .find_map(|file| fs::read_to_string(root.join(file)).ok())?;
    ENCODINGS
        .into_iter()
        .find(|name| source.contains(&format!("\"{name}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn today_s_layout_is_recognised() {
        let tree = tree(&[
            (
                "max/_entrypoints/pipelines.py",
                "@click.option(\n    \"--host\",",
            ),
            (
                "max/pipelines/modeling/config_enums.py",
                "\"bfloat16\",\n\"float4_e2m1fnx2\",",
            ),
            (
                SAMPLING_FILE,
                "    tool_call_policy: ToolCallPolicy = Field(\n    enable_structured_output: bool = Field(",
            ),
        ]);
        let found = EntryPoint::probe(&[tree.path().into()]);
        assert_eq!(found, Ok(EntryPoint::NEWEST));
    }

    #[test]
    fn an_older_layout_with_its_own_spelling_is_recognised() {
        let tree = tree(&[
            ("max/entrypoints/pipelines.py", "\"--port\""),
            (
                "max/pipelines/lib/config_enums.py",
                "mxfp4 = \"mxfp4\"\nnv = \"float4_e2m1fnx2\"",
            ),
        ]);
        let found = EntryPoint::probe(&["/nowhere".into(), tree.path().into()]);
        assert_eq!(
            found,
            Ok(EntryPoint {
                module: "max.entrypoints.pipelines",
                encoding: "mxfp4",
                host_flag: false,
                tool_call_policy: false,
                structured_output: false,
            })
        );
    }

    #[test]
    fn the_first_folder_of_the_search_path_wins() {
        let local = tree(&[("max/entrypoints/pipelines.py", "")]);
        let sdk = tree(&[("max/_entrypoints/pipelines.py", "\"--host\"")]);
        let found = EntryPoint::probe(&[local.path().into(), sdk.path().into()]).unwrap();
        assert_eq!(found.module, "max.entrypoints.pipelines");
    }

    #[test]
    fn without_max_the_error_names_what_was_looked_for() {
        let error = EntryPoint::probe(&["/nowhere".into()]).unwrap_err();
        assert!(error.contains("max/_entrypoints/pipelines.py"), "{error}");
        assert!(error.contains("/nowhere"), "{error}");
    }
}
