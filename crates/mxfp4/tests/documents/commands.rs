//! docs/reference/commands.md has what `mxfp4 help` prints.

use std::fmt::Write as _;

use super::{RENEW, printed, read, repository};

const PAGE: &str = "docs/reference/commands.md";

/// What stands above the commands.
const HEAD: &str = "# Commands

```console
$ mxfp4 help serve
```

prints what stands here of `mxfp4 serve`. This page is written from the program:
`MXFP4_RENEW_DOCS=1 cargo test -p mxfp4 --test documents`.

Results go to standard output, everything else to standard error. `-q` leaves warnings, errors and results. `-v` adds
the programs that are run, with their variables. `-vv` also says when, how they ended, and what was found up to date.
What MAX, uv and Bazel write is theirs.

A terminal gets color, unless NO_COLOR is set. With CLICOLOR_FORCE anything does. `--color` decides before both.

All commands work from any folder below the workspace's root, or with `--root`. `build`, `test`, `serve`, `warm`, `demo`
and `bench` set up and build what they need first. `--no-setup` forbids the setup.

## Exit codes

| exit code | meaning |
| --- | --- |
";

/// What a section of a help text holds, its lines without their indentation.
fn section<'a>(help: &'a str, title: &str) -> impl Iterator<Item = &'a str> {
    let title = title.to_owned();
    let lines = help.lines().skip_while(move |line| *line != title);
    lines.skip(1).take_while(|line| !line.is_empty())
}

/// Names of the commands below `args`, but for `help`.
fn below(help: &str) -> Vec<String> {
    section(help, "Commands:")
        // What goes on in the next line is indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn page() -> String {
    let help = printed(&["help"]);
    let mut page = HEAD.to_owned();
    for (code, meaning) in codes(&help) {
        let _ = writeln!(page, "| {code} | {meaning} |");
    }
    let mut todo: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let mut args = vec!["help"];
        args.extend(path.iter().map(String::as_str));
        let help = printed(&args);
        let name = [&["mxfp4".to_owned()], path.as_slice()].concat().join(" ");
        let _ = write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", help.trim_end());
        for name in below(&help).into_iter().rev() {
            todo.push([path.as_slice(), &[name]].concat());
        }
    }
    page
}

/// Exit codes and what they mean.
fn codes(help: &str) -> Vec<(&str, &str)> {
    let codes = section(help, "Exit codes:");
    codes
        .filter_map(|line| line.trim().split_once("  "))
        .map(|(code, meaning)| (code, meaning.trim()))
        .collect()
}

pub fn every_command_stands_in_the_reference() {
    let page = page();
    let commands = below(&printed(&["help"]));
    assert!(
        commands.iter().any(|command| command == "serve"),
        "{commands:?}"
    );
    for command in commands {
        assert!(
            page.contains(&format!("\n## `mxfp4 {command}`\n")),
            "{command}"
        );
    }
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(repository().join(PAGE), &page).expect("the page is written");
    }
    assert!(
        read(PAGE) == page,
        "{PAGE} is not what the program says; renew it: {RENEW}=1 cargo test -p mxfp4 --test documents"
    );
}

pub fn every_exit_code_stands_in_the_reference() {
    let help = printed(&["help"]);
    let codes = codes(&help);
    assert!(codes.len() > 5, "{help}");
    let reference = read(PAGE).replace('`', "");
    for (code, meaning) in codes {
        let row = format!("| {code} | {meaning} |");
        assert!(reference.contains(&row), "{row}");
    }
}
