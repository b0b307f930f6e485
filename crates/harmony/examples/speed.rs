//! How fast the format is read and rendered here.
//!
//! ```bash
//! cargo run --release -p mxfp4-harmony --example speed -- checkpoint/tokenizer.json
//! ```

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use mxfp4_harmony::{Call, Conversation, Event, Harmony, Tool, Turn, Vocabulary};

const TEXT: &str = "The quick brown fox jumps over the lazy dog: it's 12,345 things, naïve façades, \
                    你好 and 🙂.\nfn main() {\n    println!(\"{}\", x);\n}\n\n";

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: speed TOKENIZER_JSON")?;
    let start = Instant::now();
    let vocabulary = Vocabulary::from_file(Path::new(&path))?;
    println!("load: {:?}", start.elapsed());
    memory();
    let harmony = Harmony::new(vocabulary.into())?;
    encode(&harmony);
    render(&harmony);
    let text = TEXT.repeat(40);
    let answer = format!(
        "<|channel|>analysis<|message|>{text}<|end|><|start|>assistant<|channel|>final<|message|>{text}<|return|>"
    );
    read(&harmony, "text", &answer);
    let arguments = serde_json::json!({"path": "a/b.rs", "content": text}).to_string();
    let call = format!(
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{arguments}<|call|>"
    );
    read(&harmony, "a call", &call);
    Ok(())
}

/// The memory that the process has and the most that it had, where the system tells it.
fn memory() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    lines.for_each(|line| println!("{}", line.replace('\t', " ")));
}

/// The shortest of some runs.
fn shortest(mut run: impl FnMut()) -> Duration {
    let runs = (0..50).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    runs.min().unwrap_or_default()
}

fn encode(harmony: &Harmony) {
    let text = TEXT.repeat(100);
    let tokens = harmony.vocabulary().encode(&text).len();
    let time = shortest(|| drop(black_box(harmony.vocabulary().encode(&text))));
    println!("encode: {} bytes, {tokens} tokens in {time:?}", text.len());
}

/// A coding agent's request: instructions of 15,000 bytes, 20 tools, 20 calls.
fn render(harmony: &Harmony) {
    let parameters = serde_json::json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "Where the file lies"},
            "lines": {"type": "array", "items": {"type": "integer"}},
            "mode": {"anyOf": [{"type": "string", "enum": ["read", "write"]}, {"type": "null"}]},
        },
        "required": ["path"],
    });
    let tools = (0..20).map(|at| Tool {
        name: format!("tool_{at}"),
        description: Some("Does what a tool does.".to_owned()),
        parameters: Some(parameters.clone()),
    });
    let mut turns = vec![
        Turn::Developer(TEXT.repeat(100)),
        Turn::User(TEXT.to_owned()),
    ];
    for _ in 0..20 {
        let call = Call {
            name: "tool_1".to_owned(),
            arguments: "{\"path\": \"a/b.rs\"}".to_owned(),
        };
        turns.push(Turn::assistant(Some(TEXT.to_owned()), None, vec![call]));
        turns.push(Turn::ToolResult {
            name: "tool_1".to_owned(),
            content: TEXT.repeat(4),
        });
    }
    let conversation = Conversation {
        tools: tools.collect(),
        ..Conversation::new(turns)
    };
    let tokens = harmony.render(&conversation).len();
    let time = shortest(|| drop(black_box(harmony.render(&conversation))));
    println!("render: an agent's request of {tokens} tokens in {time:?}");
}

fn read(harmony: &Harmony, what: &str, text: &str) {
    let tokens = harmony.vocabulary().encode_with_special(text);
    let time = shortest(|| {
        let mut reader = harmony.reader(&["f"]);
        let mut bytes = 0;
        for token in &tokens {
            reader.push(*token, &mut |event| {
                if let Event::Reasoning(text) | Event::Content(text) = event {
                    bytes += text.len();
                }
            });
        }
        black_box(bytes);
    });
    let each = time.as_secs_f64() * 1e9 / tokens.len() as f64;
    println!(
        "read: {what} of {} tokens, {each:.1} ns a token",
        tokens.len()
    );
}
