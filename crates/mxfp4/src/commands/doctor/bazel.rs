//! The wrapper that builds a Modular checkout.

use mxfp4_toolchain::build::bazelw_problem;

use super::facts::Facts;
use super::finding::Finding;

/// Whether ./bazelw can be run.
pub fn bazel(facts: &Facts) -> anyhow::Result<Finding> {
    if !facts.is_modular() {
        return Ok(Finding::not_applicable("this is no Modular checkout"));
    }
    let root = &facts.context.workspace.root;
    Ok(match bazelw_problem(root) {
        None => Finding::ok(root.join("bazelw").display().to_string()),
        Some(problem) => Finding::failing(problem.to_string(), problem.hint()),
    })
}
