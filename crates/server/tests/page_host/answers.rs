//! What the model writes: to the question that came last, the answer with its word.

use std::sync::Arc;

use mxfp4_engine::scripted::{Answer, Script};
use mxfp4_harmony::Vocabulary;

const THOUGHT: &str =
    "The user wants to know. I compare both, say what differs, and keep it short.";

const COMPARE: &str = "## TCP and QUIC\n\nBoth are **reliable**; they differ in *where* order is kept:\n\n\
    | | TCP | QUIC |\n| --- | --- | ---: |\n| runs in | the kernel | user space |\n| handshakes | 2 to 3 | 1 |\n\
    | order | of the connection | of each stream |\n\n1. A lost packet stops **all** of TCP's data,\n\
    2. and of QUIC's only that of its stream:\n   - `read()` of the others goes on\n   - see <https://www.rfc-editor.org/rfc/rfc9000>\n\n\
    ```python\nasync with connect(host, alpn=[\"h3\"]) as quic:\n    await quic.get(\"/\")  # one round trip\n```\n\n\
    > QUIC is to HTTP/3 what TCP is to HTTP/1.1.\n";

const HOSTILE: &str = "<script>window.pwned = 1</script>\n\n<img src=x onerror=\"window.pwned = 2\">\n\n\
    <iframe src=\"https://evil.example/\"></iframe> <b onclick=alert(1)>bold</b> &lt;i&gt; <style>*{display:none}</style>\n\n\
    [script](javascript:window.pwned=3) [data](data:text/html,<script>window.pwned=4</script>) [own](/metrics) \
    [tabs](java\tscript:alert(1)) [case](JaVaScRiPt:alert(1)) [vb](vbscript:x) ![picture](https://evil.example/track.png) \
    ![inline](data:image/svg+xml;base64,PHN2Zz4=) <https://evil.example/pointed>\n\n\
    [good](https://good.example/a(b)c?x=1&y=\"2\") https://bare.example/path, `<script>` and **<u>bold</u>**\n\n\
    ```html\n<script>window.pwned = 5</script>\n```\n\n\
    | <img src=x onerror=window.pwned=6> | b |\n| - | - |\n| [x](javascript:1) | </td></table><script>window.pwned = 7</script> |\n\n\
    \u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} \u{202e}txt.exe\u{202c} \u{2066}isolated\u{2069} \u{9b}2J nul\u{0}end\n\n\
    \\(a_1 * b_2\\) stays, __dunder__ and snake_case_name too\n";

/// Answers by the last question that has one of these words.
pub fn script(vocabulary: Arc<Vocabulary>) -> Script {
    Box::new(move |request| {
        let prompt = vocabulary.decode(&request.prompt);
        let answers: [(&str, String); 6] = [
            ("Compare", with_thought(COMPARE)),
            ("hostile", says(HOSTILE)),
            ("endless", endless()),
            ("long", says(&long())),
            ("short", says("Short.")),
            (
                "slow thought",
                format!(
                    "<|channel|>analysis<|message|>{}<|end|>",
                    "Still thinking. ".repeat(2000)
                ),
            ),
        ];
        let asked = answers
            .iter()
            .filter_map(|(word, answer)| Some((prompt.rfind(word)?, answer)))
            .max_by_key(|(at, _)| *at);
        let text = asked.map_or_else(|| says("Yes."), |(_, answer)| answer.clone());
        let prompt_tokens = request.prompt.len() as u32;
        Answer {
            cached_tokens: Some(prompt_tokens / 2),
            ..vocabulary.encode_with_special(&text).into()
        }
    })
}

fn says(text: &str) -> String {
    format!("<|channel|>final<|message|>{text}<|return|>")
}

fn with_thought(text: &str) -> String {
    format!(
        "<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant{}",
        says(text)
    )
}

fn endless() -> String {
    with_thought(&"Word after word, and no end. ".repeat(20_000))
}

/// 100,000 characters and more: of all kinds of blocks, of one paragraph, of one word, of code.
fn long() -> String {
    let mut text = COMPARE.repeat(80);
    text.push_str(&"A paragraph that goes on and on. ".repeat(1000));
    text.push_str("\n\n");
    text.push_str(&"x".repeat(10_000));
    text.push_str("\n\n```text\n");
    text.push_str(&"let code = \"of one block\";\n".repeat(1000));
    text.push_str("```\n\nThe end of it.");
    text
}
