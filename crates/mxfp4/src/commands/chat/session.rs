//! A chat at a terminal.

use std::path::PathBuf;

use super::answer::{Answer, End};
use super::attach::Places;
use super::client::Client;
use super::command::{self, Command, HELP, Input};
use super::conversation::Conversation;
use super::editor::{Editor, Line};
use super::remedy;
use super::screen::{Screen, error, note};
use super::tally::Tally;
use super::terminal::{self, Silent};
use crate::context::Verbosity;
use crate::ui::error::message;

/// What a chat consists of.
pub struct Session {
    client: Client,
    conversation: Conversation,
    places: Places,
    screen: Screen,
    tally: Tally,
}

/// Whether the chat goes on.
enum Next {
    /// With a line that begins as this.
    Line(String),
    /// It ends.
    End,
}

impl Session {
    /// One in which nothing was said.
    pub fn new(client: Client, conversation: Conversation, places: Places, screen: Screen) -> Self {
        Self {
            client,
            conversation,
            places,
            screen,
            tally: Tally::default(),
        }
    }

    /// Reads and answers until the end.
    pub fn run(mut self, history: Option<PathBuf>, verbosity: Verbosity) -> anyhow::Result<i32> {
        let _caught = terminal::restored_by_signals()?;
        let mut editor = Editor::new(history)?;
        if verbosity != Verbosity::Quiet {
            let (model, url) = (self.conversation.model(), self.client.url());
            note(&format!("{model} on {url}; /help says what can be typed"));
        }
        let mut line = String::new();
        let mut was_interrupted = false;
        loop {
            let interrupted = std::mem::take(&mut was_interrupted);
            match editor.read(&line)? {
                Line::End => return Ok(0),
                Line::Interrupted(true) if interrupted => return Ok(0),
                Line::Interrupted(was_empty) => {
                    line.clear();
                    if was_empty {
                        was_interrupted = true;
                        note("Ctrl-C once more ends the chat, as Ctrl-D does");
                    }
                }
                Line::Sent(text) => match self.next(&text)? {
                    Next::Line(begun) => line = begun,
                    Next::End => return Ok(0),
                },
            }
        }
    }

    fn next(&mut self, text: &str) -> anyhow::Result<Next> {
        let nothing = Next::Line(String::new());
        match command::read(text) {
            Ok(Input::Message(message)) if message.is_empty() => Ok(nothing),
            Ok(Input::Message(message)) => match self.places.expand(&message) {
                Ok(question) => self.ask(text, &question),
                Err(why) => {
                    error(&why.to_string());
                    Ok(Next::Line(text.to_owned()))
                }
            },
            Ok(Input::Command(Command::Quit)) => Ok(Next::End),
            Ok(Input::Command(command)) => {
                note(&self.obey(command));
                Ok(nothing)
            }
            Err(why) => {
                error(&why);
                Ok(nothing)
            }
        }
    }

    /// Asks; where there is no answer, what was typed stays to be sent again.
    fn ask(&mut self, typed: &str, question: &str) -> anyhow::Result<Next> {
        let silent = Silent::begin();
        let body = self.conversation.body(question);
        let screen = &mut self.screen;
        let asked = self.client.ask(body, &mut |piece| screen.piece(piece))?;
        let answer = match asked {
            Ok(answer) => answer,
            Err(lost) => {
                error(&message(&remedy::failure(&lost, self.client.url()).into()));
                return Ok(Next::Line(typed.to_owned()));
            }
        };
        self.screen.end()?;
        drop(silent);
        self.ended(&answer);
        self.tally.add(&answer);
        if !answer.is_empty() {
            self.conversation.add(question, &answer);
        } else if let End::Broken(_) = answer.end {
            return Ok(Next::Line(typed.to_owned()));
        }
        eprintln!();
        Ok(Next::Line(String::new()))
    }

    fn ended(&self, answer: &Answer) {
        let is_kept = match answer.is_empty() {
            true => "nothing of it had come",
            false => "the conversation goes on with what came of it",
        };
        match &answer.end {
            End::Interrupted => note(&format!("cut; {is_kept}")),
            End::Broken(why) => error(&format!("the answer is not whole: {why}; {is_kept}")),
            End::Finished(_) => answer.end.is_early().into_iter().for_each(note),
        }
    }

    /// Does what a command says, and tells it.
    fn obey(&mut self, command: Command) -> String {
        match command {
            Command::Reset => {
                self.conversation.reset();
                self.tally = Tally::default();
                "the conversation is forgotten".into()
            }
            Command::Effort(Some(effort)) => {
                self.conversation.effort = Some(effort);
                format!("the effort is {}", effort.name())
            }
            Command::Effort(None) => match self.conversation.effort {
                Some(effort) => format!("the effort is {}", effort.name()),
                None => "the effort is the server's; /effort low|medium|high changes it".into(),
            },
            Command::System(text) => self.system(text),
            Command::Reasoning(change) => {
                self.screen.reasoning = change.unwrap_or(self.screen.reasoning);
                format!("reasoning is {}", self.screen.reasoning.told())
            }
            Command::Tokens => self.tally.to_string(),
            Command::Help | Command::Quit => HELP.into(),
        }
    }

    fn system(&mut self, text: Option<String>) -> String {
        if let Some(text) = text {
            self.conversation.system = Some(text).filter(|text| text != "none");
        }
        match &self.conversation.system {
            Some(text) => format!("before all else the model is told: {text}"),
            None => "the model is told nothing before the conversation".into(),
        }
    }
}
