//! One question.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::chat::rig::{Rig, chat, says, until};
use crate::chat::trial;
use crate::support::{Ran, folder, run};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("the_answer_alone_is_standard_output", answer),
        trial("a_pipe_is_the_question_or_comes_after_it", pipe),
        trial("json_has_all_of_it", json),
        trial(
            "what_a_model_writes_is_kept_for_files_and_shown_to_terminals",
            hostile,
        ),
        trial("files_are_put_into_the_question", files),
        trial("without_a_question_nothing_is_asked", no_question),
        trial("the_model_is_told_what_the_flags_say", flags),
        trial("an_interrupt_cancels_in_the_engine", interrupted),
        trial("a_closed_pipe_ends_it_quietly", closed_pipe),
    ]
}

/// Runs it with this on its standard input.
fn with_input(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    // One that refuses does not read all of it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("it ends").into()
}

fn asked(rig: &Rig, args: &[&str]) -> Ran {
    let folder = folder::<&str, &str>([]);
    with_input(chat(folder.path(), &rig.url()).args(args), b"")
}

fn answer() {
    let rig = Rig::quick(&[says("Hm.", "It is **4**."), says("", "Line.\n")]);
    let ran = asked(&rig, &["What", "is 2 + 2?"]);
    assert_eq!(
        (ran.code, &*ran.stdout, &*ran.stderr),
        (Some(0), "It is **4**.\n", "")
    );
    assert!(
        rig.prompts()[0].contains("<|start|>user<|message|>What is 2 + 2?<|end|>"),
        "{:?}",
        rig.prompts()
    );
    assert_eq!(asked(&rig, &["x"]).stdout, "Line.\n");
    let shown = asked(&rig, &["--reasoning", "show", "x"]);
    assert_eq!(
        (&*shown.stdout, &*shown.stderr),
        ("It is **4**.\n", "thinking:\nHm.\n\n")
    );
    let colored = asked(&rig, &["x", "--color", "always"]);
    assert_eq!(colored.stdout, "Line.\n");
    let colored = asked(&rig, &["x", "--color", "always", "--reasoning", "show"]);
    assert_eq!(colored.stdout, "It is \u{1b}[1m4\u{1b}[0m.\n");
    assert_eq!(colored.stderr, "\u{1b}[2mHm.\u{1b}[0m\n\n");
}

fn pipe() {
    let rig = Rig::quick(&[says("", "Yes.")]);
    let folder = folder::<&str, &str>([]);
    let ran = with_input(&mut chat(folder.path(), &rig.url()), "¿Qué?\n".as_bytes());
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "Yes.\n"), "{ran:?}");
    // What a patch says of its lines is no name of a file.
    let patch = b"@@ -1 +1 @@\n-@nowhere\n";
    let ran = with_input(chat(folder.path(), &rig.url()).arg("review this"), patch);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let prompts = rig.prompts();
    assert!(
        prompts[0].contains("<|message|>¿Qué?\n<|end|>"),
        "{prompts:?}"
    );
    assert!(
        prompts[1].contains("review this\n\n@@ -1 +1 @@\n-@nowhere\n<|end|>"),
        "{prompts:?}"
    );

    for (input, why) in [
        (&b"a\n\xff"[..], "line 2 is not UTF-8"),
        (&[b'x'; (1 << 20) + 1], "1024 KiB"),
    ] {
        let ran = with_input(&mut chat(folder.path(), &rig.url()), input);
        assert!(ran.code == Some(2) && ran.stderr.contains(why), "{ran:?}");
    }
    assert_eq!(rig.prompts().len(), 2);
}

fn json() {
    let rig = Rig::quick(&[says("Hm.", "A \u{1b}[1m")]);
    let ran = asked(&rig, &["--json", "x"]);
    let value: Value = serde_json::from_str(&ran.stdout).expect("it is JSON");
    assert_eq!(ran.stdout.lines().count(), 1);
    assert_eq!(value["answer"], "A \u{1b}[1m");
    assert_eq!(value["reasoning"], "Hm.");
    assert_eq!(value["model"], "openai/gpt-oss-20b");
    assert_eq!(value["finish_reason"], "stop");
    assert!(
        value["usage"]["completion_tokens"].as_u64() > Some(4),
        "{value}"
    );
    assert!(value["seconds"].is_f64(), "{value}");
}

fn hostile() {
    let text = "a\u{1b}[2J\u{1b}]0;x\u{7} \u{9b}1m\r\u{202e}b\u{0}";
    let rig = Rig::quick(&[says(text, text)]);
    let ran = asked(&rig, &["x", "--reasoning", "show"]);
    assert_eq!(ran.stdout, format!("{text}\n"));
    assert!(
        !ran.stderr.contains('\u{1b}') && ran.stderr.contains("␛[2J"),
        "{ran:?}"
    );
    let colored = asked(&rig, &["x", "--reasoning", "show", "--color", "always"]);
    for shown in [colored.stdout, colored.stderr] {
        let plain = shown.replace("\u{1b}[2m", "").replace("\u{1b}[0m", "");
        assert!(
            !plain.chars().any(|c| c.is_control() && c != '\n'),
            "{plain:?}"
        );
        assert!(plain.contains("a␛[2J␛]0;x␇"), "{plain:?}");
    }
}

fn files() {
    let rig = Rig::quick(&[says("", "Yes.")]);
    let folder = folder([("a.txt", "one\n"), ("bin", "a\0")]);
    let ask = |question: &str| with_input(chat(folder.path(), &rig.url()).arg(question), b"");
    let ran = ask("what is in @a.txt? me@@x @@y");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let prompt = &rig.prompts()[0];
    assert!(
        prompt.contains("what is in a.txt? me@@x @y\n\na.txt:\n```\none\n```<|end|>"),
        "{prompt}"
    );
    for (question, why) in [
        ("@nowhere", "@nowhere: No such file"),
        ("@bin", "null byte"),
        ("@.", "a folder"),
    ] {
        let ran = ask(question);
        assert!(ran.code == Some(2) && ran.stderr.contains(why), "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
    assert_eq!(rig.prompts().len(), 1);
}

fn no_question() {
    let rig = Rig::quick(&[says("", "Yes.")]);
    for args in [&[][..], &[" "], &["--json"]] {
        let ran = asked(&rig, args);
        assert!(
            ran.code == Some(2) && ran.stderr.contains("question"),
            "{ran:?}"
        );
    }
    assert!(rig.prompts().is_empty());
}

fn flags() {
    let rig = Rig::quick(&[says("", "Yes.")]);
    asked(&rig, &["--effort", "high", "--system", "Be brief.", "x"]);
    asked(&rig, &["x"]);
    let prompts = rig.prompts();
    assert!(
        prompts[0].contains("Reasoning: high") && prompts[0].contains("Be brief."),
        "{prompts:?}"
    );
    assert!(prompts[1].contains("Reasoning: medium"), "{prompts:?}");
}

fn interrupted() {
    let rig = Rig::new(&[says("", &"x ".repeat(10_000))], Duration::from_millis(20));
    let folder = folder::<&str, &str>([]);
    let child = chat(folder.path(), &rig.url())
        .arg("x")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    until("the request", || !rig.prompts().is_empty());
    run(Command::new("kill").args(["-s", "INT", &child.id().to_string()]));
    let ran: Ran = child.wait_with_output().expect("it ends").into();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    until("the cancellation", || rig.scripted.cancelled() == 1);
}

fn closed_pipe() {
    let rig = Rig::quick(&[says("", &"x\n".repeat(100_000))]);
    let folder = folder::<&str, &str>([]);
    let mut child = chat(folder.path(), &rig.url())
        .arg("x")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    drop(child.stdout.take());
    let ran: Ran = child.wait_with_output().expect("it ends").into();
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
}
