//! The environment in real shells: activated and taken back, by hand and by the prompt hook, in folders and with
//! values that mean something to every one of them.

mod activation;
mod formats;
mod hook;
mod options;
mod others;
mod place;
mod run;
mod shell;

use libtest_mimic::{Completion, Failed, Trial};

use crate::shells::shell::{SHELLS, Shell};
use crate::support::trial;

/// The tests.
pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for name in SHELLS {
        let mut trial = |test: &str, run: fn(&Shell)| {
            trials.push(skippable(format!("{name}_{test}"), move || {
                Shell::find(name).map(|shell| run(&shell))
            }));
        };
        trial("activates_runs_and_deactivates", activation::there_and_back);
        trial("is_told_from_the_parent_process", activation::is_told);
        if name != "sh" {
            trial("hook_enters_and_leaves", hook::enters_and_leaves);
            trial("hook_asks_only_where_something_changed", hook::asks_once);
            trial("hook_runs_nothing_of_a_strangers", hook::strangers);
            trial("hook_leaves_the_users_activation_alone", hook::leaves_alone);
        }
    }
    for (names, test, run) in [
        (
            &["bash", "zsh", "fish"][..],
            "direnv_in_either_order",
            others::direnv as fn(&Shell) -> _,
        ),
        (
            &SHELLS[1..],
            "virtual_environments",
            others::virtual_environments,
        ),
        (
            &SHELLS[1..],
            "a_path_with_it_already",
            others::listed_already,
        ),
        (&SHELLS[1..], "a_long_path", others::long_path),
        (&SHELLS[1..], "a_login_shell", others::login_shell),
        (&["bash", "zsh"], "options", options::options),
        (&["bash"], "bash_preexec", options::bash_preexec),
    ] {
        for &name in names {
            trials.push(skippable(format!("{name}_{test}"), move || {
                run(&Shell::find(name)?)
            }));
        }
    }
    // A terminal in which nothing answers is none that nu would start in.
    for name in ["bash", "zsh", "fish"] {
        trials.push(skippable(
            format!("{name}_start_up_files_come_before"),
            move || run::start_up_files(&Shell::find(name)?),
        ));
    }
    let tests: [(&str, fn()); 12] = [
        (
            "undoing_needs_no_workspace",
            activation::undoing_needs_no_workspace,
        ),
        ("what_a_format_cannot_carry_is_refused", formats::refused),
        (
            "github_actions_reads_every_value_back",
            formats::github_actions,
        ),
        (
            "a_strangers_folder_writes_nothing_to_the_terminal",
            hook::terminal,
        ),
        ("a_pipe_for_a_configuration_is_not_waited_for", hook::pipe),
        ("without_a_home_the_hook_says_so", hook::no_home),
        ("allow_and_deny", hook::allow_and_deny),
        ("run_is_the_program", run::is_the_program),
        ("run_looks_in_the_environments_path", run::path),
        ("run_says_what_cannot_be_started", run::cannot_be_started),
        ("shell_is_the_shell", run::shell),
        ("a_shell_in_itself_is_refused", run::nested),
    ];
    for (name, test) in tests {
        trials.push(trial::test(module_path!(), name, move || {
            test();
            Ok(())
        }));
    }
    trials.push(skippable("a_sample_of_scripts_shells".into(), sample));
    trials.push(skippable("tmux_in_mxfp4_shell".into(), others::tmux));
    trials.push(skippable(
        "all_ways_agree".into(),
        activation::all_ways_agree,
    ));
    trials.push(skippable(
        "ctrl_c_reaches_what_runs_in_the_terminal".into(),
        run::terminal,
    ));
    trials.push(skippable(
        "dotenv_is_read_by_all_its_readers".into(),
        formats::dotenv,
    ));
    trials
}

/// A part of what scripts/shells does; its table tells what was not there.
fn sample() -> Result<(), crate::support::Skip> {
    let python = crate::support::tool("python3")?;
    let script = crate::support::repository().join("scripts/shells");
    let mut command = std::process::Command::new(python);
    command.arg(script).arg("--sample");
    let ran = crate::support::run(command.args(["--mxfp4", env!("CARGO_BIN_EXE_mxfp4")]));
    print!("{}", ran.stdout);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    Ok(())
}

fn skippable(
    name: String,
    test: impl FnOnce() -> Result<(), crate::support::Skip> + Send + 'static,
) -> Trial {
    trial::ignorable(module_path!(), name, move || match test() {
        Ok(()) => Ok::<_, Failed>(Completion::Completed),
        Err(reason) => Ok(Completion::ignored_with(format!("skipped: {reason}"))),
    })
}
