//! What measures a Modular checkout's own operation.

use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use mxfp4_env::render::posix_quote;

/// Where the checkout keeps its benchmarks.
const FOLDER: &str = "max/kernels/benchmarks";
/// The program that runs them over many shapes.
const KBENCH: &str = "max/kernels/benchmarks/autotune/kbench.py";

/// Why nothing is measured here, and what measures the checkout's own operation.
pub fn advice(root: &Path) -> String {
    let own =
        "the benchmark measures this project's own kernels, which a Modular checkout does not have";
    let programs = programs(root);
    if !programs.is_empty() {
        let commands: Vec<String> = programs.iter().map(|program| command(program)).collect();
        return format!("{own}; for the checkout's run {}", commands.join(", or "));
    }
    let how = match root.join(KBENCH).is_file() {
        true => format!(
            "write bench_*mxfp4*.mojo below {FOLDER} and run it, or {KBENCH} with its shapes, by `mxfp4 run`"
        ),
        false => {
            format!("write bench_*mxfp4*.mojo below {FOLDER} and run it by `mxfp4 run -- mojo run`")
        }
    };
    format!(
        "{own}, and no benchmark of its own MXFP4 operation is there: {how}; or run this in the project's repository"
    )
}

/// The Mojo programs that measure such an operation, by their names.
fn programs(root: &Path) -> Vec<PathBuf> {
    let walk = WalkBuilder::new(root.join(FOLDER))
        .standard_filters(false)
        .build();
    let mut found: Vec<PathBuf> = walk
        .flatten()
        .map(ignore::DirEntry::into_path)
        .filter(|path| is_program(path))
        .filter_map(|path| path.strip_prefix(root).ok().map(Path::to_path_buf))
        .collect();
    found.sort();
    found
}

fn is_program(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let is_meant = name.contains("mxfp4") || name.contains("mx4");
    name.starts_with("bench") && name.ends_with(".mojo") && is_meant && path.is_file()
}

fn command(program: &Path) -> String {
    let program = posix_quote(program.as_os_str());
    format!(
        "`mxfp4 run -- mojo run -I max/kernels/src {}`",
        String::from_utf8_lossy(&program)
    )
}
