//! OpenAI's own implementation, `openai-harmony`.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use mxfp4_harmony::testing::{published_vocabulary, ranks_of};
use openai_harmony::chat::{Message, Role};
use openai_harmony::{HarmonyEncoding, HarmonyEncodingName, load_harmony_encoding};

/// Names the folder in which the oracle looks for its vocabulary.
const FOLDER: &str = "TIKTOKEN_ENCODINGS_BASE";

/// Writes the oracle's vocabulary and runs this program again with the variable that names it:
/// a process must not change its own variables. [`None`] in that second run, and where there
/// is no vocabulary.
pub fn with_its_vocabulary() -> Option<ExitCode> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("o200k");
    if std::env::var_os(FOLDER).is_some_and(|set| set == folder.as_os_str()) {
        return None;
    }
    let file = folder.join("o200k_base.tiktoken");
    if !file.exists() {
        let vocabulary = published_vocabulary().ok()?;
        std::fs::create_dir_all(&folder).expect("the build's folder takes files");
        let part = folder.join(format!("{}.part", std::process::id()));
        std::fs::write(&part, ranks_of(&vocabulary)).expect("the build's folder takes files");
        std::fs::rename(&part, &file).expect("the build's folder takes files");
    }
    let program = std::env::current_exe().expect("the program has a path");
    let status = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(FOLDER, &folder)
        .status()
        .expect("the program runs again");
    Some(ExitCode::from(status.code().map_or(1, |code| code as u8)))
}

/// The oracle, loaded once. It checks its vocabulary's hash.
pub fn oracle() -> &'static HarmonyEncoding {
    static ORACLE: OnceLock<HarmonyEncoding> = OnceLock::new();
    ORACLE.get_or_init(|| {
        load_harmony_encoding(HarmonyEncodingName::HarmonyGptOss).expect("the oracle loads")
    })
}

/// The oracle's tokens of messages, ready for the assistant's turn.
pub fn rendered(messages: &[Message], drop_reasoning: bool) -> Vec<u32> {
    let render =
        |config| oracle().render_conversation_for_completion(messages, Role::Assistant, config);
    // Its configuration has no public name. By default it drops.
    let tokens = match drop_reasoning {
        true => render(Some(&Default::default())),
        false => render(None),
    };
    tokens.expect("the oracle renders what it is given")
}
