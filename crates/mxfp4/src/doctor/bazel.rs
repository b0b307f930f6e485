//! The wrapper that builds a Modular checkout.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::facts::Facts;
use super::finding::Finding;

/// Whether ./bazelw can be run.
pub fn bazel(facts: &Facts) -> anyhow::Result<Finding> {
    if !facts.is_modular() {
        return Ok(Finding::not_applicable("this is no Modular checkout"));
    }
    let wrapper = facts.context.workspace.root.join("bazelw");
    let shown = wrapper.display();
    let executable =
        fs::metadata(&wrapper).is_ok_and(|file| file.permissions().mode() & 0o111 != 0);
    Ok(match executable {
        true => Finding::ok(shown.to_string()),
        false => Finding::failing(
            format!("{shown} is not executable"),
            format!("run `chmod +x {shown}`"),
        ),
    })
}
