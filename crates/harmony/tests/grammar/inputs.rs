//! Inputs of custom tools: xgrammar takes what the regular expression or the grammar does, as JSON,
//! and nothing else.

use mxfp4_harmony::Harmony;
use mxfp4_harmony::grammar::{Arguments, Calls, Grammar, tool_input};
use regex::Regex;
use serde_json::json;

use crate::walker::Walker;
use crate::walks::harmony;

const PATTERNS: &[&str] = &[
    "a|bc*",
    "^[0-9]{2,4}$",
    r#"("[^"\n]*"|\\.)+"#,
    r"[^\\]*",
    r"(?s).{1,3}",
    r".*\n",
    "(?i)straße",
    r"\d+(\.\d+)?",
    r"[\x00-\x1f]?x",
    "[à-ü🐦]{2}",
    "(ab?){0,2}",
];

const TEXTS: &[&str] = &[
    "", "a", "b", "bcc", "12", "12345", "\"", "\"x\"", "\\n", "\\", "a\\b", "a\nb", "\n", "x\n",
    "\t", "\u{1}x", "\rx", "straße", "STRASSE", "Straße", "3.14", "3.", "é🐦", "🐦🐦", "üü",
    "abab", "ababa", "/", "\u{7f}", "\u{2028}",
];

pub fn regexes(walker: &Walker) -> Result<(), String> {
    let harmony = harmony()?;
    for pattern in PATTERNS {
        let grammar = tool_input::of_regex(pattern, "input").map_err(|error| error.to_string())?;
        let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| error.to_string())?;
        let whole = |text: &str| {
            regex
                .find(text)
                .is_some_and(|found| found.len() == text.len())
        };
        for text in TEXTS {
            check(walker, &harmony, &grammar, text, whole(text))
                .map_err(|error| format!("{pattern}: {error}"))?;
        }
    }
    Ok(())
}

/// The grammar of patches that an agent offers.
const PATCH: &str = r#"start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?

filename: /(.+)/
add_line: "+" /(.*)/ LF -> line

change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF

%import common.LF
"#;

pub fn grammars(walker: &Walker) -> Result<(), String> {
    let harmony = harmony()?;
    let grammar = tool_input::of_lark(PATCH, "input").map_err(|error| error.to_string())?;
    let update = "*** Begin Patch\n*** Update File: a.sh\n@@ \"x\"\n-echo \\n\n+\techo é\n context\n*** End Patch";
    for (text, takes) in [
        (update, true),
        (
            "*** Begin Patch\n*** Delete File: a\n*** Add File: b\n+1\n+\n*** End Patch\n",
            true,
        ),
        ("*** Begin Patch\n*** End Patch", false),
        ("*** Begin Patch\n*** Add File: \n+1\n*** End Patch", false),
        ("*** Begin Patch\n*** Add File: b\n1\n*** End Patch", false),
        (
            "*** Begin Patch\n*** Delete File: a\n*** End Patch\nand more",
            false,
        ),
    ] {
        check(walker, &harmony, &grammar, text, takes)?;
    }
    let sums = "start: sum\nsum: term (\" \"? (\"+\" | \"-\") \" \"? term)*\nterm: NUMBER | \"(\" sum \")\"\n%import common.NUMBER";
    let grammar = tool_input::of_lark(sums, "input").map_err(|error| error.to_string())?;
    for (text, takes) in [
        ("1 + (2-3.5)", true),
        ("((1))", true),
        ("1 +", false),
        ("(1", false),
        ("", false),
    ] {
        check(walker, &harmony, &grammar, text, takes)?;
    }
    Ok(())
}

/// A call with this input, with and without a space behind the colon.
fn check(
    walker: &Walker,
    harmony: &Harmony,
    grammar: &str,
    text: &str,
    takes: bool,
) -> Result<(), String> {
    let tag = harmony.structural_tag(&Grammar::call(Calls {
        functions: vec![("f".to_owned(), Arguments::Ebnf(grammar.to_owned()))],
        several: false,
    }));
    for space in ["", " "] {
        let call = format!(
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{{\"input\":{space}{}}}",
            json!(text)
        );
        let tokens = harmony.vocabulary().encode_with_special(&call);
        if walker.accepts(&tag, &tokens)? != takes {
            return Err(format!("{text:?} is taken: {}", !takes));
        }
    }
    Ok(())
}
