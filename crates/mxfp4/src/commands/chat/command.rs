//! What begins with a slash.

use clap::ValueEnum as _;

use super::conversation::Effort;
use super::screen::Reasoning;

/// A command of the chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Forget the conversation.
    Reset,
    /// Say how much the model thinks, or change it.
    Effort(Option<Effort>),
    /// Say what the model is told before all else, or change it.
    System(Option<String>),
    /// Say what becomes of reasoning, or change it.
    Reasoning(Option<Reasoning>),
    /// Say what was counted.
    Tokens,
    /// Say what there is.
    Help,
    /// End the chat.
    Quit,
}

/// What a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A message to the model.
    Message(String),
    /// A command.
    Command(Command),
}

/// Their names.
pub const NAMES: [&str; 7] = [
    "/reset",
    "/effort",
    "/system",
    "/reasoning",
    "/tokens",
    "/help",
    "/quit",
];

/// What `/help` says.
pub const HELP: &str = "\
/reset                     forgets the conversation
/effort low|medium|high    has the model think less or more
/system TEXT               tells the model who it is to be; none takes it back
/reasoning show|fold|hide  what becomes of the model's reasoning
/tokens                    what the last answer and the conversation took
/quit                      ends the chat; Ctrl-D does too
@FILE                      adds a file; @\"A FILE\" one with spaces, @@ is an @
//                         begins a message with a slash
Alt-Enter, Ctrl-J          begin a new line
Ctrl-C                     ends an answer, and not the chat";

/// Reads what was typed; an error says what is wrong with a command.
pub fn read(text: &str) -> Result<Input, String> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("//") {
        return Ok(Input::Message(format!("/{rest}")));
    }
    if !text.starts_with('/') {
        return Ok(Input::Message(text.to_owned()));
    }
    let (name, rest) = match text.split_once(char::is_whitespace) {
        Some((name, rest)) => (name, rest.trim()),
        None => (text, ""),
    };
    let command = match name {
        "/effort" => Command::Effort(effort(rest)?),
        "/system" => Command::System(Some(rest.to_owned()).filter(|text| !text.is_empty())),
        "/reasoning" => Command::Reasoning(reasoning(rest)?),
        "/reset" => alone(Command::Reset, name, rest)?,
        "/tokens" => alone(Command::Tokens, name, rest)?,
        "/help" | "/?" => alone(Command::Help, name, rest)?,
        "/quit" | "/exit" => alone(Command::Quit, name, rest)?,
        _ => {
            let names = NAMES.join(", ");
            return Err(format!(
                "there is no {name}; there are {names}. A message that begins with a slash begins with two"
            ));
        }
    };
    Ok(Input::Command(command))
}

fn alone(command: Command, name: &str, rest: &str) -> Result<Command, String> {
    match rest.is_empty() {
        true => Ok(command),
        false => Err(format!("{name} stands alone")),
    }
}

fn effort(text: &str) -> Result<Option<Effort>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let effort = Effort::from_str(text, true);
    effort
        .map(Some)
        .map_err(|_| "the effort is low, medium or high".into())
}

fn reasoning(text: &str) -> Result<Option<Reasoning>, String> {
    match text {
        "" => Ok(None),
        "on" => Ok(Some(Reasoning::Show)),
        "off" => Ok(Some(Reasoning::Hide)),
        _ => Reasoning::from_str(text, true)
            .map(Some)
            .map_err(|_| "reasoning is to show (or on), to fold, or to hide (or off)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        for (text, expected) in [
            (" /reset ", Command::Reset),
            ("/effort HIGH", Command::Effort(Some(Effort::High))),
            ("/effort", Command::Effort(None)),
            (
                "/system You are\na poet.",
                Command::System(Some("You are\na poet.".into())),
            ),
            ("/reasoning off", Command::Reasoning(Some(Reasoning::Hide))),
            ("/reasoning fold", Command::Reasoning(Some(Reasoning::Fold))),
            ("/exit", Command::Quit),
        ] {
            assert_eq!(read(text), Ok(Input::Command(expected)), "{text}");
        }
        for (text, expected) in [
            ("a /b", "a /b"),
            ("//etc/hosts", "/etc/hosts"),
            ("\n a ", "a"),
        ] {
            assert_eq!(read(text), Ok(Input::Message(expected.into())), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("/foo", "/reset, /effort"),
            ("/effort most", "low, medium or high"),
            ("/quit now", "stands alone"),
            ("/reasoning x", "fold"),
            ("/", "there is no /;"),
        ] {
            assert!(read(text).unwrap_err().contains(said), "{text}");
        }
        assert!(
            NAMES
                .iter()
                .all(|name| read(name).is_ok() && HELP.contains(name) || *name == "/help")
        );
    }
}
