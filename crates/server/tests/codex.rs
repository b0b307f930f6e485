//! The Codex CLI, unmodified, against the front end: the model's answers are scripted, token by
//! token, and Codex runs what they call for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mxfp4_engine::scripted::{Answer, Options, in_turn};
use mxfp4_engine::{EngineListener, Request, ScriptedEngine};
use mxfp4_harmony::Vocabulary;
use mxfp4_harmony::testing::published_vocabulary;
use mxfp4_server::{Config, Server};
use tempfile::TempDir;

const MODEL: &str = "openai/gpt-oss-20b";

/// The shell script that is wrong, and its test.
const ADD: &str = "echo $(($1 - $2))\n";
const CHECK: &str = "if [ \"$(sh add.sh 2 3)\" = 5 ]; then echo green; else echo red; exit 1; fi\n";

fn main() -> ExitCode {
    let trial = Trial::ignorable_test("codex", || match Place::find() {
        Err(why) => Ok(Completion::ignored_with(why)),
        Ok(place) => work(&place).map(|()| Completion::Completed),
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

/// What the test needs of the machine.
struct Place {
    codex: PathBuf,
    vocabulary: Arc<Vocabulary>,
}

impl Place {
    fn find() -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/codex");
        let codex = folder.join("node_modules/.bin/codex");
        if !codex.exists() {
            return Err(format!(
                "codex is missing: npm ci --prefix {}",
                folder.display()
            ));
        }
        Ok(Self {
            codex,
            vocabulary: published_vocabulary()?,
        })
    }
}

/// What Codex is given: a folder to work in, and one for its configuration and sessions.
struct Desk {
    home: TempDir,
    folder: TempDir,
}

/// What one run of Codex came to.
struct Ran {
    /// Its last message.
    said: String,
    prompts: Vec<Vec<u32>>,
}

impl Desk {
    fn new() -> Result<Self, Failed> {
        let desk = Self {
            home: tempfile::tempdir()?,
            folder: tempfile::tempdir()?,
        };
        fs::write(desk.folder.path().join("add.sh"), ADD)?;
        fs::write(desk.folder.path().join("check.sh"), CHECK)?;
        Ok(desk)
    }

    /// Runs Codex before a model that writes these answers in turn, each from behind
    /// `<|start|>assistant`.
    fn run(&self, place: &Place, words: &[&str], answers: &[String]) -> Result<Ran, Failed> {
        let runtime = tokio::runtime::Runtime::new()?;
        let (server, engine) = runtime.block_on(serve(place, answers))?;
        let url = format!("http://{}/v1", server.addresses()[0]);
        fs::write(self.home.path().join("config.toml"), configuration(&url))?;
        let ran = Command::new(&place.codex)
            .arg("exec")
            .args(words)
            .args([
                "--skip-git-repo-check",
                "--dangerously-bypass-approvals-and-sandbox",
            ])
            .current_dir(self.folder.path())
            .env("CODEX_HOME", self.home.path())
            .env("HOME", self.home.path())
            .env_remove("OPENAI_API_KEY")
            // Nothing leaves this machine.
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(std::process::Stdio::null())
            .output()?;
        let told = String::from_utf8_lossy(&ran.stderr);
        if !ran.status.success() {
            return Err(format!("codex: {}\n{told}", ran.status).into());
        }
        let requests = engine.requests();
        if requests.len() != answers.len() {
            let (asked, answers) = (requests.len(), answers.len());
            return Err(
                format!("the model was asked {asked} times and not {answers}\n{told}").into(),
            );
        }
        Ok(Ran {
            said: String::from_utf8(ran.stdout)?.trim().to_owned(),
            prompts: requests
                .into_iter()
                .map(|Request { prompt, .. }| prompt)
                .collect(),
        })
    }
}

async fn serve(place: &Place, answers: &[String]) -> Result<(Server, ScriptedEngine), Failed> {
    let answer = |text: &String| Answer::from(place.vocabulary.encode_with_special(text));
    let script = in_turn(answers.iter().map(answer).collect());
    let listener = EngineListener::bind(&std::env::temp_dir())?;
    let mut options = Options::default();
    options.hello.model = MODEL.to_owned();
    let engine = ScriptedEngine::start(listener.path(), options, script);
    let config = Config {
        port: 0,
        // Each run has a server of its own, as after a restart.
        seal_keys: vec!["5e".repeat(32).parse()?],
        ..Config::default()
    };
    let server = Server::bind(config).await?;
    server.ready(listener.engine().await?, place.vocabulary.clone());
    Ok((server, engine))
}

fn configuration(url: &str) -> String {
    format!(
        "model = \"{MODEL}\"\nmodel_provider = \"mxfp4\"\ncheck_for_update_on_startup = false\n\
         [analytics]\nenabled = false\n\
         [model_providers.mxfp4]\nname = \"mxfp4\"\nbase_url = \"{url}\"\nwire_api = \"responses\"\n"
    )
}

fn thinks(text: &str) -> String {
    format!("<|channel|>analysis<|message|>{text}<|end|><|start|>assistant")
}

fn tells(text: &str) -> String {
    format!("<|channel|>commentary<|message|>{text}<|end|><|start|>assistant")
}

fn calls(function: &str, arguments: &str) -> String {
    format!(
        "<|channel|>commentary to=functions.{function} <|constrain|>json<|message|>{arguments}<|call|>"
    )
}

fn runs(command: &str) -> String {
    calls(
        "exec_command",
        &serde_json::json!({"cmd": command}).to_string(),
    )
}

fn says(text: &str) -> String {
    format!("<|channel|>final<|message|>{text}<|return|>")
}

const PATCH: &str = "apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: add.sh\n@@\n-echo $(($1 - $2))\n\
                     +echo $(($1 + $2))\n*** End Patch\nEOF";

fn work(place: &Place) -> Result<(), Failed> {
    let desk = Desk::new()?;
    repairs(place, &desk)?;
    resumes(place, &desk)?;
    recovers(place, &Desk::new()?)
}

/// It runs the test, looks, edits the file, and runs the test again.
fn repairs(place: &Place, desk: &Desk) -> Result<(), Failed> {
    let answers = [
        thinks("First the test.") + &tells("I run the test.") + &runs("sh check.sh"),
        thinks("It is red. What does it do?") + &runs("cat add.sh"),
        thinks("The sign is wrong.") + &tells("I correct the sign.") + &runs(PATCH),
        runs("sh check.sh"),
        thinks("Done.") + &says("The test is green."),
    ];
    let ran = desk.run(place, &["Make check.sh green."], &answers)?;
    hold(ran.said == "The test is green.", &ran.said)?;
    let add = fs::read_to_string(desk.folder.path().join("add.sh"))?;
    hold(add == ADD.replace('-', "+"), &add)?;
    let texts: Vec<String> = ran
        .prompts
        .iter()
        .map(|prompt| place.vocabulary.decode(prompt))
        .collect();
    holds(
        &texts[0],
        &[
            "namespace functions {",
            "type exec_command = ",
            "type multi_agent_v1__",
            "Make check.sh green.",
        ],
    )?;
    holds(
        &texts[4],
        &[
            "Make check.sh green.<|end|>",
            "<|channel|>analysis<|message|>First the test.<|end|>",
            "<|channel|>commentary<|message|>I run the test.<|end|>",
            "{\"cmd\":\"sh check.sh\"}<|call|>",
            "red",
            "{\"cmd\":\"cat add.sh\"}<|call|>",
            "echo $(($1 - $2))",
            "The sign is wrong.",
            "*** Begin Patch",
            "{\"cmd\":\"sh check.sh\"}<|call|>",
            "green\n<|end|><|start|>assistant",
        ],
    )?;
    // What the engine has of a prompt in its cache is the whole of the one before.
    for (before, after) in ran.prompts.iter().zip(&ran.prompts[1..]) {
        hold(
            after.starts_with(before),
            "a prompt does not begin with the one before",
        )?;
    }
    Ok(())
}

/// The session goes on in another process, with another server.
fn resumes(place: &Place, desk: &Desk) -> Result<(), Failed> {
    let answers = [says("The sign in add.sh.")];
    let ran = desk.run(place, &["resume", "--last", "What was wrong?"], &answers)?;
    hold(ran.said == "The sign in add.sh.", &ran.said)?;
    let text = place.vocabulary.decode(&ran.prompts[0]);
    holds(
        &text,
        &[
            "Make check.sh green.<|end|>",
            "<|channel|>commentary<|message|>I run the test.<|end|>",
            "*** Begin Patch",
            "<|channel|>final<|message|>The test is green.<|end|>",
            "What was wrong?<|end|><|start|>assistant",
        ],
    )?;
    // Reasoning before an answer is over.
    hold(!text.contains("First the test."), &text)
}

/// The model's calls are malformed: in their JSON, in their arguments, in their function's name.
fn recovers(place: &Place, desk: &Desk) -> Result<(), Failed> {
    let answers = [
        // A raw line break, and no bracket at the end.
        calls("exec_command", "{\"cmd\": \"echo one\necho two\""),
        thinks("Which argument was it?") + &calls("exec_command", "{\"command\": [\"ls\"]}"),
        calls("shell", "{\"command\": [\"ls\"]}"),
        // Half a header before the call.
        "<|channel|>commentary to=functions.exec_command<|channel|>commentary json<|message|>{\"cmd\": \"sh check.sh\"}<|call|>"
            .to_owned(),
        says("Still red."),
    ];
    let ran = desk.run(place, &["Try."], &answers)?;
    hold(ran.said == "Still red.", &ran.said)?;
    holds(
        &place.vocabulary.decode(&ran.prompts[4]),
        &[
            "one\ntwo\n<|end|>",
            "Which argument was it?",
            "{\"command\": [\"ls\"]}<|call|>",
            "missing field `cmd`",
            "to=functions.shell<|channel|>",
            "unsupported call: shell",
            "red\n<|end|><|start|>assistant",
        ],
    )
}

fn hold(holds: bool, text: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(text.into()) }
}

/// Fails unless the parts stand in the text in this order.
fn holds(text: &str, parts: &[&str]) -> Result<(), Failed> {
    let mut rest = text;
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return Err(format!("{part:?} is not, or not there, in\n{text}").into()),
        }
    }
    Ok(())
}
