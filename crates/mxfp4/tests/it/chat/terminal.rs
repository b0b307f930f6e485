//! A chat at a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::chat::fixed::{Fixed, Say};
use crate::chat::rig::{Rig, says, until};
use crate::chat::skippable;
use crate::chat::tmux::Tmux;
use crate::support::{Skip, folder, run};

pub fn trials() -> Vec<Trial> {
    vec![
        skippable("a_conversation_at_a_terminal", conversation),
        skippable("ctrl_c_ends_the_answer_and_not_the_chat", interrupted),
        skippable("what_was_refused_can_be_sent_again", again),
        skippable("what_is_pasted_is_one_message", pasted),
        skippable("lines_are_kept_for_their_user_alone", history),
        skippable("without_color_text_is_as_it_was_written", plain),
        skippable("nothing_acts_on_the_terminal", hostile),
        skippable("a_signal_leaves_the_terminal_as_it_was", ended),
    ]
}

const MARKDOWN: &str = "# Title\n\nSome **bold** and `code`:\n\n- one\n- two\n\n| a | b |\n| --- | ---: |\n| long | 1 |\n";

fn conversation() -> Result<(), Skip> {
    let rig = Rig::quick(&[says("I think.", MARKDOWN), says("", "Second.")]);
    let home = folder([("note.txt", "a note\n")]);
    let tmux = Tmux::chat(home.path(), &rig.url(), "")?;
    tmux.wait("/help says");
    tmux.line("see @note.txt");
    let screen = tmux.wait("long │ 1");
    let shown = "I think.\n\nTitle\n\nSome bold and code:\n\n• one\n• two\n\na    │ b\n─────┼──\nlong │ 1\n";
    assert!(screen.contains(shown), "{screen}");
    let styled = tmux.styled();
    for shown in [
        "\u{1b}[2mI think.",
        "\u{1b}[1mTitle",
        "\u{1b}[1mbold",
        "\u{1b}[36mcode",
    ] {
        assert!(styled.contains(shown), "{styled:?}");
    }

    for (line, said) in [
        ("/effort high", "the effort is high"),
        ("/effort most", "low, medium or high"),
        ("/system Be brief.", "the model is told: Be brief."),
        ("/reasoning off", "reasoning is hidden"),
        ("/tokens", "1 answer"),
        ("/nothing", "there is no /nothing"),
        ("/help", "begins a message with a slash"),
        ("@nowhere", "@nowhere: No such file"),
    ] {
        tmux.line(line);
        tmux.wait(said);
    }
    // What could not be sent is there to be corrected.
    tmux.keys(&["C-u"]);
    tmux.line("and now?");
    tmux.wait("Second.");
    let prompts = rig.prompts();
    assert!(
        prompts[0].contains("see note.txt\n\nnote.txt:\n```\na note\n```<|end|>"),
        "{prompts:?}"
    );
    for part in ["Reasoning: high", "Be brief.", "**bold**", "and now?"] {
        assert!(prompts[1].contains(part), "{part}: {prompts:?}");
    }
    tmux.line("/reset");
    tmux.wait("forgotten");
    tmux.line("third");
    until("the third", || rig.prompts().len() == 3);
    let third = &rig.prompts()[2];
    assert!(
        third.contains("Be brief.") && !third.contains("and now?"),
        "{third}"
    );
    tmux.line("/quit");
    assert_eq!(tmux.ended(), "0");
    Ok(())
}

fn interrupted() -> Result<(), Skip> {
    let long = "word ".repeat(10_000);
    let rig = Rig::new(
        &[says("", &long), says("", "Short.")],
        Duration::from_millis(10),
    );
    let home = folder::<&str, &str>([]);
    let tmux = Tmux::chat(home.path(), &rig.url(), "")?;
    tmux.wait("/help says");
    tmux.line("go on");
    tmux.wait("word word");
    // What is typed meanwhile is for the next line, and does not stand in the answer.
    tmux.keys(&["-l", "and then"]);
    tmux.keys(&["C-c"]);
    tmux.wait("cut; the conversation goes on");
    until("the cancellation", || rig.scripted.cancelled() == 1);
    tmux.wait("> and then");
    tmux.keys(&["Enter"]);
    tmux.wait("Short.");
    let prompts = rig.prompts();
    assert!(
        prompts[1].contains("go on") && prompts[1].contains("word word"),
        "{prompts:?}"
    );
    assert!(!prompts[1].contains(&long), "{prompts:?}");
    tmux.line("/tokens");
    tmux.wait("without 1 cut");
    // A line that was begun is given up; twice at an empty one is the end.
    tmux.keys(&["-l", "begun"]);
    tmux.keys(&["C-c"]);
    tmux.keys(&["C-c"]);
    tmux.wait("Ctrl-C once more");
    tmux.keys(&["C-c"]);
    assert_eq!(tmux.ended(), "0");
    Ok(())
}

const FULL: Say = Say::Status(
    "429 Too Many Requests",
    "retry-after: 2\r\n",
    r#"{"error":{"message":"full"}}"#,
);
const STREAM: Say = Say::Events(&[
    r#"{"choices":[{"delta":{"content":"At last."},"finish_reason":"stop"}]}"#,
    "[DONE]",
]);

fn again() -> Result<(), Skip> {
    let server = Fixed::chat(&[FULL, STREAM]);
    let home = folder::<&str, &str>([]);
    let tmux = Tmux::chat(home.path(), &server.url, "")?;
    tmux.wait("the model on");
    tmux.line("are you there?");
    let screen = tmux.wait("again in 2 seconds");
    assert!(screen.contains("429"), "{screen}");
    until("the question", || {
        tmux.screen().matches("> are you there?").count() == 2
    });
    tmux.keys(&["Enter"]);
    tmux.wait("At last.");
    tmux.keys(&["C-d"]);
    assert_eq!(tmux.ended(), "0");
    let requests = server.requests();
    let last = requests.last().expect("there are some");
    assert_eq!(last.matches("are you there?").count(), 1, "{last}");
    Ok(())
}

fn pasted() -> Result<(), Skip> {
    let rig = Rig::quick(&[says("", "Read.")]);
    let home = folder::<&str, &str>([]);
    let tmux = Tmux::chat(home.path(), &rig.url(), "")?;
    tmux.wait("/help says");
    tmux.paste("first\n/quit\nthird ünï 漢");
    tmux.wait("third");
    tmux.keys(&["C-j"]);
    tmux.line("fourth");
    tmux.wait("Read.");
    let prompts = rig.prompts();
    assert_eq!(prompts.len(), 1);
    assert!(
        prompts[0].contains("<|message|>first\n/quit\nthird ünï 漢\nfourth<|end|>"),
        "{prompts:?}"
    );
    Ok(())
}

fn history() -> Result<(), Skip> {
    let rig = Rig::quick(&[says("", "Read.")]);
    let home = folder::<&str, &str>([]);
    let kept = home.path().join(".local/state/mxfp4/chat-history");
    let tmux = Tmux::chat(home.path(), &rig.url(), "")?;
    tmux.wait("/help says");
    tmux.line("remember me");
    tmux.wait("Read.");
    tmux.line(" not this");
    until("the second", || rig.prompts().len() == 2);
    tmux.keys(&["C-d"]);
    assert_eq!(tmux.ended(), "0");
    let text = fs::read_to_string(&kept).expect("it was written");
    assert!(
        text.contains("remember me") && !text.contains("not this"),
        "{text}"
    );
    let mode = |path: &std::path::Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
    };
    assert_eq!(mode(&kept) & 0o777, 0o600);
    assert_eq!(
        mode(kept.parent().expect("it is in a folder")) & 0o777,
        0o700
    );
    drop(tmux);

    let tmux = Tmux::chat(home.path(), &rig.url(), "")?;
    tmux.wait("/help says");
    tmux.keys(&["Up"]);
    tmux.wait("> remember me");
    tmux.keys(&["Enter"]);
    until("the third", || rig.prompts().len() == 3);
    Ok(())
}

fn plain() -> Result<(), Skip> {
    let rig = Rig::quick(&[says("I think.", MARKDOWN)]);
    let home = folder::<&str, &str>([]);
    let tmux = Tmux::chat(home.path(), &rig.url(), "--color never")?;
    tmux.wait("/help says");
    tmux.line("go");
    let screen = tmux.wait("| long | 1 |");
    assert!(
        screen.contains("thinking:\nI think.\n\n# Title\n\nSome **bold** and `code`:\n"),
        "{screen}"
    );
    assert!(!tmux.styled().contains("\u{1b}["), "{:?}", tmux.styled());
    Ok(())
}

fn hostile() -> Result<(), Skip> {
    let text = "before \u{1b}[2J\u{1b}[H\u{1b}]2;owned\u{7}\u{1b}[8m\u{9b}3A\rafter";
    let rig = Rig::quick(&[says(text, text)]);
    for color in ["auto", "never"] {
        let home = folder::<&str, &str>([]);
        let tmux = Tmux::chat(home.path(), &rig.url(), &format!("--color {color}"))?;
        tmux.wait("/help says");
        tmux.line("go");
        until("both", || tmux.screen().matches("after").count() == 2);
        let screen = tmux.screen();
        assert!(
            screen.contains("/help says") && screen.contains("before ␛[2J␛[H"),
            "{screen}"
        );
    }
    Ok(())
}

fn ended() -> Result<(), Skip> {
    let rig = Rig::quick(&[says("", "Read.")]);
    let home = folder::<&str, &str>([]);
    let pid = home.path().join("pid");
    let script = "sh -c 'echo $$ > pid; exec \"$0\" \"$@\"'";
    let tmux = Tmux::started_by(script, home.path(), &rig.url(), "; echo code $?; stty -a")?;
    tmux.wait("/help says");
    let number = fs::read_to_string(&pid).expect("it was written");
    run(Command::new("kill").arg(number.trim()));
    tmux.wait("code 143");
    let screen = tmux.wait("icanon");
    assert!(
        !screen.contains("-icanon") && screen.contains(" echo "),
        "{screen}"
    );
    Ok(())
}
