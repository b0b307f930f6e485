//! Which test was meant by a name that none has.

use std::convert::Infallible;
use std::fs;
use std::path::Path;

use mxfp4_env::{Context, nearest};
use mxfp4_fs::{Found, Walk};

/// `; did you mean ...?` for the test whose name resembles `name`, or nothing: the end of a sentence.
pub fn suggestion(context: &Context, name: &str) -> String {
    let workspace = &context.workspace;
    let tests = &workspace.config.tests;
    let mut names = Vec::new();
    for path in tests.mojo.iter().chain(&tests.python) {
        collect(&workspace.root.join(path), &mut names);
    }
    // The part that tells one from the other is what people type.
    let all = names.iter().flat_map(|full| {
        let short = ["test_gpu_", "test_", "compile_"]
            .iter()
            .find_map(|prefix| full.strip_prefix(prefix));
        [Some(full.as_str()), short]
    });
    match nearest(name, all.flatten()) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None => String::new(),
    }
}

/// The test files at or below `path` by their names, and pytest's functions in them.
fn collect(path: &Path, names: &mut Vec<String>) {
    let Ok(()) = Walk::default().look::<Infallible>(path, &mut |found| {
        if let Found::File(path, _) = found {
            collect_of(path, names);
        }
        Ok(())
    });
}

fn collect_of(path: &Path, names: &mut Vec<String>) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let is_python = match path.extension().and_then(|extension| extension.to_str()) {
        Some("py") => true,
        Some("mojo") => false,
        _ => return,
    };
    if stem.starts_with("test_") || stem.starts_with("compile_") {
        names.push(stem.into_owned());
    }
    if is_python && let Ok(text) = fs::read_to_string(path) {
        let functions = text
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("def "))
            .filter_map(|rest| rest.split_once('('))
            .map(|(function, _)| function)
            .filter(|function| function.starts_with("test_"));
        names.extend(functions.map(str::to_owned));
    }
}
