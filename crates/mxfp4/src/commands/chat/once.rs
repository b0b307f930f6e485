//! One question.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::json;

use super::answer::{Answer, End};
use super::attach::{self, LARGEST, Places};
use super::client::Client;
use super::conversation::Conversation;
use super::remedy;
use super::screen::{self, Screen};
use crate::exit::{Exit, Failure};
use mxfp4_toolchain::visible::visible;

/// What is asked: the words of the command line, and after them what comes from a pipe. Nothing where neither is there
/// and someone sits at the terminal.
pub fn question(words: &[String], places: &Places) -> anyhow::Result<Option<String>> {
    let wrong = |why: String| Failure::new(Exit::Usage, why);
    let asked = places
        .expand(&words.join(" "))
        .map_err(|why| wrong(why.to_string()))?;
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Ok(Some(asked).filter(|asked| !asked.trim().is_empty()));
    }
    let piped = attach::bounded(stdin.lock(), LARGEST)
        .map_err(|why| wrong(format!("what comes from standard input: {why}")))?;
    match (asked.trim().is_empty(), piped.trim().is_empty()) {
        (true, true) => {
            let message = "there is no question: name it, give it by a pipe, or chat at a terminal";
            Err(wrong(message.into()).into())
        }
        (true, false) => Ok(Some(piped)),
        (false, true) => Ok(Some(asked)),
        (false, false) => Ok(Some(format!("{asked}\n\n{piped}"))),
    }
}

/// Shows the answer as it comes.
pub fn as_text(
    client: &Client,
    conversation: &Conversation,
    question: &str,
    mut screen: Screen,
) -> anyhow::Result<i32> {
    let body = conversation.body(question);
    let asked = client.ask(body, &mut |piece| screen.piece(piece))?;
    let answer = asked.map_err(|lost| remedy::failure(&lost, client.url()))?;
    screen.end()?;
    ended(&answer)
}

/// Prints the answer as JSON once it is whole.
pub fn as_json(
    client: &Client,
    conversation: &Conversation,
    question: &str,
) -> anyhow::Result<i32> {
    let asked = client.ask(conversation.body(question), &mut |_| Ok(()))?;
    let answer = asked.map_err(|lost| remedy::failure(&lost, client.url()))?;
    let End::Finished(reason) = &answer.end else {
        return ended(&answer);
    };
    let line = json!({
        "model": conversation.model(),
        "answer": answer.content,
        "reasoning": answer.reasoning,
        "finish_reason": reason,
        "usage": answer.usage,
        "seconds": (answer.took.as_secs_f64() * 1e3).round() / 1e3,
    });
    writeln!(io::stdout(), "{line}")?;
    Ok(0)
}

/// The exit code that the end of an answer means.
fn ended(answer: &Answer) -> anyhow::Result<i32> {
    match &answer.end {
        End::Interrupted => Ok(130),
        End::Broken(why) => {
            let message = format!("the answer is not whole: {}", visible(why));
            Err(Failure::new(Exit::Failed, message).into())
        }
        End::Finished(_) => {
            if let Some(why) = answer.end.is_early() {
                screen::note(why);
            }
            Ok(0)
        }
    }
}
