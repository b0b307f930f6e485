//! The hook under the options that people set, and beside what else they have run at the prompt: it enters and leaves,
//! and changes nothing else.

use std::ffi::OsStr;

use crate::shells::place::{Place, Variables, assert_same, dumped};
use crate::shells::shell::Shell;
use crate::support::{Ran, Skip};

/// What is in the start-up file before the hook, in bash.
const BASH: [&str; 14] = [
    "set -e",
    "set -u",
    "set -eu -o pipefail; shopt -s inherit_errexit",
    "set -C",
    "set -o posix",
    "set -E; trap 'echo failed' ERR",
    "set -f; shopt -s nocasematch extglob failglob; IFS=/",
    "set -T; trap 'counted=$((${counted-0} + 1))' DEBUG",
    // What is run at the prompt: one thing, several, an array, and with what ends a line.
    "PROMPT_COMMAND='seen=$?'",
    "PROMPT_COMMAND='seen=$?;'",
    "PROMPT_COMMAND=$'seen=$?  # the status\\n'",
    "PROMPT_COMMAND=('seen=$?' 'second=yes')",
    "declare -x PROMPT_COMMAND='seen=$?; true &'",
    "declare -ra PROMPT_COMMAND=('seen=$?')",
];

/// The same in zsh.
const ZSH: [&str; 11] = [
    "setopt err_exit",
    "setopt err_return no_unset",
    "setopt no_clobber",
    "setopt ksh_arrays",
    "setopt auto_name_dirs",
    "setopt warn_nested_var warn_create_global",
    "setopt sh_word_split glob_subst sh_glob no_match",
    "emulate ksh",
    "emulate sh; setopt no_unset err_exit",
    "trap 'echo failed' ZERR",
    "setopt ksh_arrays; first() { : }; second() { : }; precmd_functions=(first second)",
];

/// What tells whether the hook left the shell as it was.
const BASH_STATE: &str =
    "echo \"$-\"; shopt; set -o; trap -p; alias; echo \"seen ${seen-} ${second-}\"\n";
const ZSH_STATE: &str = "setopt; trap; alias; echo ${(j: :)${precmd_functions[@]:#_mxfp4_hook}}\n";

pub fn options(shell: &Shell) -> Result<(), Skip> {
    let (options, state) = match shell.name {
        "bash" => (&BASH[..], BASH_STATE),
        _ => (&ZSH[..], ZSH_STATE),
    };
    let place = Place::new("work");
    assert_eq!(place.ran(&["allow"]).code, Some(0));
    let ambient = place.ambient(OsStr::new("/plain"));
    for option in options {
        under(shell, &place, &ambient, option, state);
    }
    Ok(())
}

fn under(shell: &Shell, place: &Place, ambient: &Variables, option: &str, state: &str) {
    let out = place.base();
    // The status of what has failed is seen, and what `set -e` bears ends no shell.
    let state = format!("! true\necho \"status $?\"\n{state}");
    let prompt: &[u8] = match shell.name {
        "bash" => b"PS1='<$?> ' PS2=\n",
        _ => b"PS1='<%?> ' PS2=; typeset -ag precmd_functions\n",
    };
    let run = |hook: &[u8], rest: &[u8]| -> Ran {
        let code = [
            prompt,
            option.as_bytes(),
            b"\n",
            hook,
            state.as_bytes(),
            rest,
            b"echo the end\n",
        ];
        shell.typed(&code.concat(), &out, ambient)
    };
    let plain = run(b"", b"");
    let hooked = run(&shell.hook(&out), b"");
    assert!(plain.stdout.ends_with("the end\n"), "{option}: {plain:?}");
    let is_readonly = option.starts_with("declare -ra");
    let said = "mxfp4: PROMPT_COMMAND is readonly, so that the prompt hook cannot run; make it readonly after the line \
                with `mxfp4 hook bash`\n";
    assert_eq!(
        hooked.stderr.contains(said),
        is_readonly,
        "{option}: {hooked:?}"
    );
    // With the line that sets the hook there is one prompt more.
    let prompts = |ran: &Ran| ran.stderr.replace(said, "").replace("<0> ", "");
    assert_eq!(prompts(&hooked), prompts(&plain), "{option}");
    assert_eq!(hooked.stdout, plain.stdout, "{option}");
    if is_readonly {
        return;
    }

    let [before, inside, after] = ["before", "inside", "after"].map(|name| out.join(name));
    let dump = |file| {
        String::from_utf8(shell.dump(file))
            .unwrap()
            .replace(" > ", " >| ")
    };
    let there_and_back = [
        dump(&before).into_bytes(),
        shell.cd(&place.root),
        dump(&inside).into_bytes(),
        match shell.name {
            "zsh" => b"print -P '%~'\n".to_vec(),
            _ => Vec::new(),
        },
        shell.cd(&out),
        dump(&after).into_bytes(),
    ]
    .concat();
    let ran = run(&shell.hook(&out), &there_and_back);
    assert_eq!(prompts(&ran), prompts(&plain), "{option}");
    assert!(ran.stdout.ends_with("the end\n"), "{option}: {ran:?}");
    if shell.name == "zsh" {
        // No variable of ours becomes a name for the folder.
        let folder = format!("\n{}\n", place.root.display());
        assert!(ran.stdout.contains(&folder), "{option}: {ran:?}");
    }
    let mut expected = place.activated(&dumped(&before));
    expected.insert("MXFP4_HOOK".into(), place.root.clone().into());
    assert_same(&format!("{option}: inside"), &dumped(&inside), &expected);
    assert_same(
        &format!("{option}: after"),
        &dumped(&after),
        &dumped(&before),
    );
}

/// bash-preexec takes what comes after its own last command for one of the user's.
pub fn bash_preexec(shell: &Shell) -> Result<(), Skip> {
    let place = Place::new("work");
    assert_eq!(place.ran(&["allow"]).code, Some(0));
    let out = place.base();
    let dump = out.join("dump");
    let code = [
        // As bash-preexec leaves it, once it is installed.
        b"PROMPT_COMMAND=$'__bp_precmd_invoke_cmd\\n__bp_interactive_mode'\n".to_vec(),
        b"__bp_precmd_invoke_cmd() { local one; for one in \"${precmd_functions[@]}\"; do \"$one\"; done; }\n".to_vec(),
        b"__bp_interactive_mode() { :; }\nprecmd() { :; }\nprecmd_functions=(precmd)\n".to_vec(),
        shell.hook(&out),
        shell.hook(&out),
        b"echo \"$PROMPT_COMMAND\"; echo \"${precmd_functions[@]}\"\n".to_vec(),
        shell.cd(&place.root),
        shell.dump(&dump),
    ]
    .concat();
    let ran = shell.typed(&code, &out, &place.ambient(OsStr::new("/plain")));
    assert_eq!(
        ran.stdout,
        "__bp_precmd_invoke_cmd\n__bp_interactive_mode\nprecmd _mxfp4_hook\n"
    );
    assert_eq!(
        dumped(&dump).get(OsStr::new("MXFP4_HOOK")),
        Some(&place.root.into_os_string())
    );
    Ok(())
}
