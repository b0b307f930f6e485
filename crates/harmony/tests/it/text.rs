//! Random texts, of all that users type and models write.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::strategy::SBoxedStrategy;

/// Special tokens as text, whole and cut.
const TYPED: [&str; 12] = [
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|channel|>",
    "<|constrain|>",
    "<|call|>",
    "<|return|>",
    "<|endoftext|>",
    "<|reserved_200013|>",
    "<|",
    "|>",
    "<|start|",
];

/// Pieces of texts that are hard for tokenizers.
const PIECES: [&str; 24] = [
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\n\n",
    "   \n ",
    "'s",
    "'S",
    "'ll",
    "'Re",
    "\u{2019}s",
    "fn main() {\n    println!(\"{}\", x);\n}\n",
    "if (a<b && c>d) { return a[0]; }",
    "你好，世界。",
    "これはペンです",
    "한국어",
    "🙂",
    "👩‍👩‍👧‍👦",
    "é",
    "e\u{301}",
    "\u{0}",
    "\u{FEFF}",
    "¿Qué?",
];

/// Texts that match a pattern. A pattern by itself is a strategy too, but one that is compiled
/// for each text.
fn matching(pattern: &str) -> impl Strategy<Value = String> + use<> {
    prop::string::string_regex(pattern).expect("it is a pattern")
}

/// The name of a function.
pub fn name() -> SBoxedStrategy<String> {
    static NAME: LazyLock<SBoxedStrategy<String>> = LazyLock::new(|| {
        let names = prop_oneof![
            4 => matching("[a-z_]{1,12}"),
            1 => matching("[a-zA-Z0-9_-]{1,64}"),
        ];
        names.sboxed()
    });
    NAME.clone()
}

/// A piece of text.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => matching("[a-zA-Z]{1,12}"),
        2 => matching("[0-9]{1,7}"),
        2 => matching("[ -~]{1,12}"),
        4 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => prop::sample::select(&TYPED[..]).prop_map(str::to_owned),
        1 => prop::collection::vec(any::<char>(), 1..4).prop_map(|chars| chars.into_iter().collect()),
        1 => matching("\\PC{1,6}"),
    ]
}

/// A text, which may be empty.
pub fn text() -> SBoxedStrategy<String> {
    // Its patterns take long to compile, and everything random has texts.
    static TEXT: LazyLock<SBoxedStrategy<String>> = LazyLock::new(|| {
        let pieces = prop::collection::vec(piece(), 0..8);
        pieces.prop_map(|pieces| pieces.concat()).sboxed()
    });
    TEXT.clone()
}
