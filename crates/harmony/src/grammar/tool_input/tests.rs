use proptest::prelude::*;

use super::*;

fn text_of(grammar: &str) -> &str {
    grammar
        .split_once("text ::= ")
        .map_or("", |(_, text)| text)
        .trim_end()
}

#[test]
fn a_regular_expression_becomes_a_grammar_of_json() {
    for (pattern, text) in [
        ("abc", r#""abc""#),
        ("^abc$", r#""abc""#),
        ("", r#""""#),
        ("[0-9]{2,4}", "([0-9]){2,4}"),
        ("a|b*", r#"("a" | ("b")*)"#),
        ("(ab)?", r#"(("ab"))?"#),
        // A quote, a backslash and a line break are escaped in JSON.
        ("\"", r#""\\\"""#),
        (r"\\", r#""\\\\""#),
        ("\n", r#""\\n""#),
        (r#"[!-#]"#, r##"("\\\"" | [\x21\x23])"##),
        ("[^\n]", ""),
    ] {
        let grammar = of_regex(pattern, "input").unwrap();
        assert!(
            grammar.starts_with(r#"root ::= "{\"input\":" [ ]? "\"" text "\"}""#),
            "{grammar}"
        );
        if !text.is_empty() {
            assert_eq!(text_of(&grammar), text, "{pattern}");
        }
    }
}

#[test]
fn what_no_grammar_derives_is_refused() {
    for (pattern, says) in [
        (r"a\b", "a word boundary cannot"),
        ("a^b", "an anchor inside cannot"),
        ("(?=a)b", "look-around"),
        ("(a", "unclosed group"),
        (r"(a)\1", "backreferences"),
        (r"(\w{1000}){1000}", "written out"),
    ] {
        let error = of_regex(pattern, "input").unwrap_err().to_string();
        assert!(error.contains(says), "{pattern}: {error}");
    }
}

/// The grammar of patches that a well-known agent offers.
const PATCH: &str = r#"start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF

filename: /(.+)/
add_line: "+" /(.*)/ LF -> line

%import common.LF
"#;

#[test]
fn a_grammar_of_larks_becomes_one_of_json() {
    let grammar = of_lark(PATCH, "input").unwrap();
    for rule in [
        r#"root ::= "{\"input\":" [ ]? "\"" r_start "\"}""#,
        "r_start ::= r_begin_patch (r_hunk)+ r_end_patch",
        r#"r_begin_patch ::= "*** Begin Patch" r_LF"#,
        r#"r_end_patch ::= "*** End Patch" (r_LF)?"#,
        "r_hunk ::= r_add_hunk | r_delete_hunk",
        r#"r_LF ::= "\\n""#,
    ] {
        assert!(
            grammar.lines().any(|line| line == rule),
            "{rule} is not in\n{grammar}"
        );
    }
    let all = of_lark("// a comment\n?start.2: (\"a\"i | 'x' )\n", "input");
    assert!(all.is_err());
    let all = of_lark(
        "start: a\n  | [B] c~2..3 // or\n  | (\"x\"\n  | \"y\")\n!a: \"a\"i\nB.1: \"0\"..\"9\"\n_c: /[a-f]+/i\nc: _c~2 |\n",
        "input",
    )
    .unwrap();
    for rule in [
        r#"r_start ::= r_a | (r_B)? (r_c){2,3} | ("x" | "y")"#,
        "r_a ::= [Aa]",
        "r_B ::= [0-9]",
        "r__c ::= ([A-Fa-f])+",
        r#"r_c ::= (r__c){2,2} | """#,
    ] {
        assert!(
            all.lines().any(|line| line == rule),
            "{rule} is not in\n{all}"
        );
    }
}

#[test]
fn what_cannot_be_translated_names_its_line() {
    for (grammar, says) in [
        ("", "there is no rule `start`"),
        ("start: a", "line 1 of the grammar: \"a\" is not defined"),
        (
            "start: \"a\"\n%ignore \" \"",
            "line 2 of the grammar: %ignore cannot be enforced",
        ),
        (
            "start: \"a\"\nstart: \"b\"",
            "line 2 of the grammar: \"start\" is defined twice",
        ),
        ("start: \"a", "a string has no end"),
        ("start: (\"a\"", "`)` is missing"),
        ("start: /a", "a regular expression has no end"),
        ("start: /(?=a)/", "look-around"),
        ("start: x{\"a\"}", "templates are not known"),
        ("start: \"a\" ~ 3..2", "3 is more than 2"),
        ("start: \"b\"..\"a\"", "a range is between"),
        (
            "%import python.NAME\nstart: NAME",
            "only `%import common.NAME`",
        ),
        ("%import common.NOPE\nstart: NOPE", "common has no \"NOPE\""),
        ("start \"a\"", "`:` is missing"),
        ("start: \"a\" ) \"b\"", "cannot go on with"),
    ] {
        let error = of_lark(grammar, "input").unwrap_err().to_string();
        assert!(error.contains(says), "{grammar}: {error}");
    }
    let deep = format!("start: {}\"a\"{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(
        of_lark(&deep, "input")
            .unwrap_err()
            .to_string()
            .contains("deep")
    );
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,60}", code in "[a-c:|()\\[\\]\"/~.*+?%\n\\\\0-9 -]{0,60}") {
        for text in [text, code] {
            let _ = of_regex(&text, "input");
            let _ = of_lark(&text, "input");
            let _ = of_lark(&format!("start: {text}"), "input");
        }
    }
}
