use proptest::prelude::*;

use super::Markdown;

/// What is shown of a text that comes in these pieces, without styles.
fn shown(pieces: &[&str], columns: usize) -> String {
    let mut markdown = Markdown::new(columns);
    let mut out: String = pieces.iter().map(|piece| markdown.push(piece)).collect();
    out.push_str(&markdown.finish());
    plain(&out)
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn in_characters(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    starts.push(text.len());
    starts
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}

/// A page of all that models write.
const PAGE: &str = "\
# A *title* of `it`

Some **bold _both_** text, a [link](https://example.org/x) and ~~gone~~ 2 * 3 snake_case_name &amp; R&D.
A line on its own.

1. one
2. two with **bold** and more text that has to be wrapped at the end of the line
   - deep
     > quoted
3. [x] three

```rust
fn main() {
    println!(\"*no* | markup\");

}
```

| Name | What it is | n |
| --- | :-: | ---: |
| a | **b** | 1 |
| long name | a text that is a good deal longer than there is room for in one line of it | 22 |

---

The end, with a <tag> and a [1] and an [ref][x].

[x]: https://example.org/ref
";

const SHOWN: &str = "\
A title of it

Some bold both text, a link (https://example.org/x) and gone
2 * 3 snake_case_name & R&D.
A line on its own.

1. one
2. two with bold and more text that has to be wrapped at the
   end of the line
   • deep
     │ quoted
3. [x] three

fn main() {
    println!(\"*no* | markup\");

}

Name      │                  What it is                  │  n
──────────┼──────────────────────────────────────────────┼───
a         │                      b                       │  1
long name │ a text that is a good deal longer than there │ 22
          │        is room for in one line of it         │   

────────────────────

The end, with a <tag> and a [1] and an ref
(https://example.org/ref).

[x]: https://example.org/ref
";

#[test]
fn a_page_is_shown() {
    let found = shown(&[PAGE], 62);
    assert_eq!(found, SHOWN, "{found}");
}

#[test]
fn it_is_the_same_however_it_comes() {
    // But for what a piece more would have told: a definition that follows its use.
    let page = &PAGE[..PAGE.find(" and an [ref]").unwrap()];
    let whole = shown(&[page], 62);
    assert_eq!(shown(&in_characters(page), 62), whole);
    for size in [2, 3, 5, 7, 11, 30] {
        let characters = in_characters(page);
        let pieces: Vec<String> = characters.chunks(size).map(|part| part.concat()).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(shown(&pieces, 62), whole, "in pieces of {size}");
    }
}

#[test]
fn words_are_shown_as_they_come() {
    let mut markdown = Markdown::new(80);
    let mut push = |text: &str| plain(&markdown.push(text));
    assert_eq!(push("Hel"), "");
    assert_eq!(push("lo wor"), "Hello");
    assert_eq!(push("ld, **bo"), " world,");
    assert_eq!(push("ld** x"), " bold");
    assert_eq!(push(" 2 * 3 y"), " x 2 * 3");
    assert_eq!(push("\n\n```\ncode"), " y\n\ncode");
    assert_eq!(push(" more\n``"), " more");
    assert_eq!(push("`\n"), "");
}

#[test]
fn styles_are_those_of_the_text() {
    let mut markdown = Markdown::new(80);
    let shown = markdown.push("a **b** `c`\n") + &markdown.finish();
    assert_eq!(shown, "a \u{1b}[1mb\u{1b}[0m \u{1b}[36mc\u{1b}[0m\n");
}

#[test]
fn what_acts_on_a_terminal_is_shown_as_text() {
    for text in [
        "a\u{1b}[2Jb",
        "`\u{1b}]0;x\u{7}`",
        "```\n\u{1b}[31m\r\u{9b}1m\n```",
        "| \u{1b}[1m | b |\n|---|---|\n| \u{202e}x | y |",
        "[x](http://\u{1b}[5m)",
        "<b \u{1b}[1m>",
        "&#27;[2J &#x9b;1m",
        "[a]: http://\u{1b}x",
    ] {
        let mut markdown = Markdown::new(40);
        let out = markdown.push(text) + &markdown.finish();
        let styles = out.replace("\u{1b}[0m", "").replace("\u{1b}[36m", "");
        let styles = ["1", "2", "3", "4", "9"].iter().fold(styles, |out, code| {
            out.replace(&format!("\u{1b}[{code}m"), "")
        });
        let acting = styles
            .chars()
            .find(|c| *c != '\n' && mxfp4_toolchain::visible::acts(*c));
        assert_eq!(acting, None, "{text:?} became {out:?}");
    }
}

#[test]
fn a_long_text_without_an_end_is_shown() {
    for text in [
        "x", "*", "`a", "[", "|a", "> ", "- a\n  ", "_a ", "<a ", "1", "\\", "漢",
    ] {
        let long = text.repeat(5_000 / text.len());
        let mut markdown = Markdown::new(80);
        let pieces = in_characters(&long);
        let out: String = pieces
            .chunks(64)
            .map(|piece| markdown.push(&piece.concat()))
            .collect();
        let out = plain(&(out + &markdown.finish()));
        let count = |of: &str| of.chars().filter(|c| c.is_alphanumeric()).count();
        assert!(count(&out) >= count(&long), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No letter is lost, nothing panics, no line is too long, whatever comes and however it is cut.
    #[test]
    fn nothing_is_lost(
        pieces in proptest::collection::vec("[a-c ]{1,4}|[*_`~\\[\\]()<>|&;:#+=.!\\\\-]{1,3}|\n{1,2}( |    )?|[0-9]\\. |- |\\PC|https://x|```\n?", 0..60),
        cuts in proptest::collection::vec(1usize..9, 1..20),
        columns in 10usize..90,
    ) {
        let text = pieces.concat();
        let characters = in_characters(&text);
        let mut markdown = Markdown::new(columns);
        let (mut out, mut at, mut turn) = (String::new(), 0, 0);
        while at < characters.len() {
            let end = (at + cuts[turn % cuts.len()]).min(characters.len());
            out.push_str(&markdown.push(&characters[at..end].concat()));
            (at, turn) = (end, turn + 1);
        }
        out.push_str(&markdown.finish());
        let out = plain(&out);
        let letters = |text: &str| text.chars().filter(|c| ('a'..='c').contains(c)).count();
        // A language after a fence, a link's title and an entity's name are no text.
        if !text.contains("```") && !text.contains('[') && !text.contains('&') && !text.contains("~~~") {
            prop_assert!(letters(&out) >= letters(&text), "{text:?} became {out:?}");
        }
        prop_assert!(!out.chars().any(|c| c != '\n' && mxfp4_toolchain::visible::acts(c)));
    }
}
