//! Tokens to events.

mod arguments;
mod characters;
mod closed;
mod header;

use std::sync::Arc;

use crate::{End, Event, Kind, Part, Special, Vocabulary};
use arguments::arguments;
use characters::Characters;
use closed::Closed;
use header::{Field, Header, Parsed, To};

/// Reads an answer, token by token. Made by [`Harmony::reader`](crate::Harmony::reader).
///
/// What keeps the format is read as OpenAI's parser reads it. What does not is read so that
/// the client loses no text and gets no call that the model did not make:
///
/// - Nothing of a header is content. Words that no header has are: those that no `<|message|>`
///   follows, and several of them before a `<|channel|>`.
/// - A header begins at `<|start|>`, after `<|end|>`, and at a `<|channel|>` inside a content.
/// - The author is the assistant, however often it is named, unless another role is.
///   Another author's message is nobody's text; after content or a call it ends the turn.
/// - Without a channel, or with an unknown one, a message is content.
/// - A message to a function is a call where its content is JSON, else text of its channel.
///   [`Event::Call`] says what is made JSON. No content is `{}`.
/// - The function is named with or without `functions.`. One that was not offered is called
///   all the same if it gets an object: an agent answers that there is no such function, and
///   the model goes on. A dot in its name becomes `_`, as functions' names have no dots.
/// - Where no function was offered there are no calls: the client expects text.
#[derive(Debug)]
pub struct Reader {
    vocabulary: Arc<Vocabulary>,
    machine: Machine,
}

impl Reader {
    pub(crate) fn new(
        vocabulary: &Arc<Vocabulary>,
        special: Special,
        offered: &[impl AsRef<str>],
        opened: &[u32],
    ) -> Self {
        let offered = offered.iter().map(|name| name.as_ref().to_owned());
        let mut reader = Self {
            vocabulary: Arc::clone(vocabulary),
            machine: Machine {
                special,
                offered: offered.collect(),
                state: State::Header,
                header: Header::after_assistant(),
                characters: Characters::default(),
                held: String::new(),
                answered: false,
            },
        };
        for id in opened {
            reader.push(*id, &mut |_| {});
        }
        reader
    }

    /// Reads a token, tells what is known by it, and returns the part it belongs to.
    ///
    /// Ids beyond the tokenizer are nothing. After [`Event::End`] nothing more is told.
    pub fn push(&mut self, id: u32, tell: &mut impl FnMut(Event<'_>)) -> Part {
        if self.vocabulary.is_special(id) {
            self.machine.special(id, tell);
            return Part::Header;
        }
        let part = self.machine.part();
        self.machine.text(self.vocabulary.bytes(id), tell);
        part
    }

    /// Reads tokens that came together. Pieces of text that follow each other are told as one.
    /// The tokens' parts are added to `parts`.
    pub fn read(&mut self, ids: &[u32], parts: &mut Vec<Part>, tell: &mut impl FnMut(Event<'_>)) {
        let mut pieces = Pieces::default();
        for id in ids {
            parts.push(self.push(*id, &mut |event| pieces.add(event, tell)));
        }
        pieces.tell(tell);
    }

    /// The answer was cut, or its last token was not delivered: tells what was held back.
    ///
    /// A whole call is a call, any other is text. Tells nothing after an end.
    pub fn finish(&mut self, tell: &mut impl FnMut(Event<'_>)) {
        self.machine.close(Closed::Cut, tell);
        self.machine.state = State::Ended;
    }

    /// Whether the turn is over: [`Event::End`] was told, or [`finish`](Self::finish) called.
    pub fn ended(&self) -> bool {
        matches!(self.machine.state, State::Ended)
    }
}

/// What is being read.
#[derive(Debug)]
enum State {
    /// A header, or what stands in its place.
    Header,
    /// A content that the client gets as it comes.
    Text {
        kind: Kind,
        /// Whether [`Event::Message`] was told.
        told: bool,
    },
    /// A content that is held back: a call, or text of this kind.
    Call {
        name: String,
        offered: bool,
        kind: Kind,
    },
    /// Another author's message.
    Foreign,
    Ended,
}

/// The reader without its vocabulary.
#[derive(Debug)]
struct Machine {
    special: Special,
    offered: Box<[String]>,
    state: State,
    header: Header,
    characters: Characters,
    /// The content of a message to a function.
    held: String,
    /// Whether the client has content or a call.
    answered: bool,
}

impl Machine {
    /// The part that plain tokens belong to now.
    fn part(&self) -> Part {
        match &self.state {
            State::Text { kind, .. } if *kind == Kind::Reasoning => Part::Reasoning,
            State::Text { .. } => Part::Content,
            State::Call { .. } => Part::Call,
            State::Header | State::Foreign | State::Ended => Part::Header,
        }
    }

    /// A plain token.
    fn text(&mut self, bytes: &[u8], tell: &mut impl FnMut(Event<'_>)) {
        match &mut self.state {
            State::Text { kind, told } => {
                self.characters.push(bytes, |text| {
                    self.answered |= *kind != Kind::Reasoning;
                    tell_text(*kind, told, text, tell);
                });
            }
            State::Call { offered, .. } => {
                self.characters.push(bytes, |text| self.held.push_str(text));
                // Only an object calls a function that was not offered.
                let first = self.held.trim_start().chars().next();
                if !*offered && first.is_some_and(|first| first != '{') {
                    self.release(tell);
                }
            }
            State::Header => {
                self.header.push(bytes);
                if self.header.is_text() {
                    self.content_without_header(Closed::End, tell);
                }
            }
            State::Foreign | State::Ended => {}
        }
    }

    /// A special token. Those that are not the format's are nothing.
    fn special(&mut self, id: u32, tell: &mut impl FnMut(Event<'_>)) {
        let special = self.special;
        if matches!(self.state, State::Ended) {
        } else if id == special.message {
            self.message(tell);
        } else if id == special.channel {
            self.field(Field::Channel, tell);
        } else if id == special.constrain {
            self.field(Field::Constrain, tell);
        } else if id == special.start {
            self.close(Closed::End, tell);
            self.header = Header::after_start();
        } else if id == special.end {
            self.close(Closed::End, tell);
        } else if id == special.call {
            self.end(Closed::Call, End::Call, tell);
        } else if id == special.ret || id == special.endoftext {
            self.end(Closed::End, End::Return, tell);
        }
    }

    fn end(&mut self, closed: Closed, end: End, tell: &mut impl FnMut(Event<'_>)) {
        self.close(closed, tell);
        self.state = State::Ended;
        tell(Event::End(end));
    }

    /// A part of a header begins.
    fn field(&mut self, field: Field, tell: &mut impl FnMut(Event<'_>)) {
        if !matches!(self.state, State::Header) {
            if field == Field::Constrain {
                return;
            }
            self.close(Closed::End, tell);
        }
        self.header.begin(field);
    }

    /// A header ends, a content begins.
    fn message(&mut self, tell: &mut impl FnMut(Event<'_>)) {
        if !matches!(self.state, State::Header) {
            return;
        }
        let parsed = std::mem::take(&mut self.header).parse();
        if parsed.foreign && self.answered {
            self.state = State::Ended;
            tell(Event::End(End::OtherRole));
            return;
        }
        if !parsed.text.is_empty() {
            self.answered = true;
            tell_text(Kind::Preamble, &mut false, &parsed.text, tell);
        }
        self.state = self.content_of(&parsed);
    }

    /// What the content after a header is.
    fn content_of(&self, parsed: &Parsed) -> State {
        let kind = parsed.kind();
        if parsed.foreign {
            return State::Foreign;
        }
        match parsed.to(&self.offered) {
            To::All => State::Text { kind, told: false },
            To::Function { name, offered } => State::Call {
                name,
                offered,
                kind,
            },
        }
    }

    /// A message is closed, or what stands in a header's place is.
    fn close(&mut self, closed: Closed, tell: &mut impl FnMut(Event<'_>)) {
        match &mut self.state {
            State::Ended => return,
            State::Header => {
                // A call without content, and without the token that begins one.
                let call = self.content_without_header(closed, tell);
                if call || !matches!(self.state, State::Call { .. }) || !self.held.is_empty() {
                    self.close_content(closed, tell);
                }
            }
            State::Text { .. } | State::Call { .. } | State::Foreign => {
                self.close_content(closed, tell);
            }
        }
        self.held.clear();
        self.state = State::Header;
        self.header = Header::after_end();
    }

    fn close_content(&mut self, closed: Closed, tell: &mut impl FnMut(Event<'_>)) {
        let cut_character = self.characters.finish();
        match &mut self.state {
            State::Text { kind, told } => {
                if let Some(text) = cut_character {
                    self.answered |= *kind != Kind::Reasoning;
                    tell_text(*kind, told, text, tell);
                }
            }
            State::Call { name, offered, .. } => {
                self.held.extend(cut_character);
                match arguments(&self.held, *offered, closed) {
                    Some(arguments) => {
                        self.answered = true;
                        let name = std::mem::take(name);
                        tell(Event::Call { name, arguments });
                    }
                    None => self.release(tell),
                }
            }
            State::Header | State::Foreign | State::Ended => {}
        }
    }

    /// What was held back is no call: it is text.
    fn release(&mut self, tell: &mut impl FnMut(Event<'_>)) {
        let State::Call { kind, .. } = self.state else {
            return;
        };
        let mut told = false;
        if !self.held.is_empty() {
            self.answered |= kind != Kind::Reasoning;
            tell_text(kind, &mut told, &self.held, tell);
            self.held.clear();
        }
        self.state = State::Text { kind, told };
    }

    /// What stands in a header's place is none: what no header has is content.
    /// Returns whether it is a call without content.
    fn content_without_header(&mut self, closed: Closed, tell: &mut impl FnMut(Event<'_>)) -> bool {
        let parsed = std::mem::take(&mut self.header).parse_unfinished(closed == Closed::Cut);
        self.state = self.content_of(&parsed);
        self.text(parsed.text.as_bytes(), tell);
        closed == Closed::Call && parsed.text.is_empty()
    }
}

/// Pieces of one message's text.
#[derive(Default)]
struct Pieces {
    reasoning: bool,
    text: String,
}

impl Pieces {
    fn add(&mut self, event: Event<'_>, tell: &mut impl FnMut(Event<'_>)) {
        match event {
            Event::Reasoning(text) => {
                self.reasoning = true;
                self.text.push_str(text);
            }
            Event::Content(text) => {
                self.reasoning = false;
                self.text.push_str(text);
            }
            // Between reasoning and content a message begins.
            Event::Message(_) | Event::Call { .. } | Event::End(_) => {
                self.tell(tell);
                tell(event);
            }
        }
    }

    fn tell(&mut self, tell: &mut impl FnMut(Event<'_>)) {
        if !self.text.is_empty() {
            tell(match self.reasoning {
                true => Event::Reasoning(&self.text),
                false => Event::Content(&self.text),
            });
            self.text.clear();
        }
    }
}

/// Tells a piece of text, and before the first one that a message begins.
fn tell_text(kind: Kind, told: &mut bool, text: &str, tell: &mut impl FnMut(Event<'_>)) {
    if !std::mem::replace(told, true) {
        tell(Event::Message(kind));
    }
    match kind {
        Kind::Reasoning => tell(Event::Reasoning(text)),
        Kind::Preamble | Kind::Final => tell(Event::Content(text)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
