//! The structural tag of a harmony answer.

use super::format::{Format, StructuralTag};
use super::{Arguments, Calls, Grammar, Opened, Text};
use crate::message::FUNCTIONS;
use crate::{Author, Channel, Harmony, Special};

impl Harmony {
    /// The structural tag, as JSON, of what follows `<|start|>assistant`, or what the prompt
    /// opened.
    pub fn structural_tag(&self, grammar: &Grammar) -> String {
        let tag = Tag {
            special: self.special(),
            forbidden: self.vocabulary().special_ids(),
        };
        write(tag.whole(grammar))
    }
}

/// The structural tag of a raw text, which no message is around.
pub fn text_tag(text: &Text, forbidden: &[u32]) -> String {
    write(content(text, forbidden))
}

fn write(format: Format<'_>) -> String {
    // Strings, numbers and JSON are always JSON.
    serde_json::to_string(&StructuralTag { format }).unwrap_or_default()
}

struct Tag<'a> {
    special: &'a Special,
    /// The special tokens, which no text has.
    forbidden: &'a [u32],
}

impl<'a> Tag<'a> {
    fn whole(&self, grammar: &'a Grammar) -> Format<'a> {
        let message = self.message(grammar);
        match grammar.opened {
            Opened::Nothing => message,
            Opened::Words => Format::sequence([self.words(), self.next_message(), message]),
        }
    }

    /// What follows `<|start|>assistant`: first what the model thinks and says, then what was
    /// asked for.
    fn message(&self, grammar: &'a Grammar) -> Format<'a> {
        let mut ways = Vec::new();
        let text = grammar.text.as_ref();
        let free = matches!(text, Some(Text::Free));
        if let Some(text) = text.filter(|_| !free) {
            // Words before it would be part of the client's text.
            ways.push(Format::sequence([self.thoughts(false), self.answer(text)]));
        }
        let mut ends = Vec::new();
        ends.extend(text.filter(|_| free).map(|text| self.answer(text)));
        ends.extend(grammar.calls.as_ref().map(|calls| self.calls(calls)));
        if !ends.is_empty() {
            ways.push(Format::sequence([self.thoughts(true), Format::or(ends)]));
        }
        Format::or(ways)
    }

    /// Reasoning, and words to the user where `preambles`, in any number.
    fn thoughts(&self, preambles: bool) -> Format<'a> {
        let message = |channel| {
            let channel = self.channel(channel);
            Format::sequence([channel, self.begin(), self.words(), self.next_message()])
        };
        let mut any = vec![message(Channel::Analysis)];
        any.extend(preambles.then(|| message(Channel::Commentary)));
        Format::or(any).star()
    }

    fn words(&self) -> Format<'a> {
        Format::AnyTokens {
            exclude_tokens: self.forbidden,
        }
    }

    fn answer(&self, text: &'a Text) -> Format<'a> {
        let mut elements = vec![self.channel(Channel::Final)];
        if let Text::Json(_) = text {
            elements.push(self.json_type());
        }
        elements.extend([self.begin(), content(text, self.forbidden)]);
        Format::sequence(elements)
    }

    fn calls(&self, calls: &'a Calls) -> Format<'a> {
        let functions: Vec<_> = calls
            .functions
            .iter()
            .map(|(name, arguments)| {
                let arguments = match arguments {
                    Arguments::Json(schema) => Format::json(schema.value()),
                    Arguments::Ebnf(grammar) => Format::Grammar { grammar },
                };
                self.call(name, arguments)
            })
            .collect();
        let call = Format::or(functions);
        if !calls.several {
            return call;
        }
        // The model ends its turn after each call; one that does not may go on to the next.
        let thoughts = self.thoughts(true);
        let next = Format::sequence([self.next_message(), thoughts, call.clone()]);
        Format::sequence([call, next.star()])
    }

    /// A call, in both orders that the model was trained with.
    fn call(&self, name: &str, arguments: Format<'a>) -> Format<'a> {
        let to = Format::text(format!(" to={FUNCTIONS}{name}"));
        let channel = self.channel(Channel::Commentary);
        let header = Format::or([
            Format::sequence([channel.clone(), to.clone()]),
            Format::sequence([to, channel]),
        ]);
        Format::sequence([header, self.json_type(), self.begin(), arguments])
    }

    /// ` <|constrain|>json`, ` json`, or nothing.
    fn json_type(&self) -> Format<'a> {
        let constrain = self.token(self.special.constrain);
        let json = || Format::text("json");
        let word = Format::or([Format::sequence([constrain, json()]), json()]);
        Format::sequence([Format::text(" ").optional(), word.optional()])
    }

    fn channel(&self, channel: Channel) -> Format<'a> {
        let name = Format::text(channel.as_str());
        Format::sequence([self.token(self.special.channel), name])
    }

    fn begin(&self) -> Format<'a> {
        self.token(self.special.message)
    }

    fn next_message(&self) -> Format<'a> {
        let author = Format::text(Author::Assistant.as_str());
        let (end, start) = (self.special.end, self.special.start);
        Format::sequence([self.token(end), self.token(start), author])
    }

    fn token(&self, token: u32) -> Format<'a> {
        Format::Token { token }
    }
}

fn content<'a>(text: &'a Text, forbidden: &'a [u32]) -> Format<'a> {
    match text {
        Text::Free => Format::AnyTokens {
            exclude_tokens: forbidden,
        },
        Text::Json(schema) => Format::json(schema.value()),
        Text::Regex(pattern) => Format::Regex { pattern },
        Text::Ebnf(grammar) => Format::Grammar { grammar },
        Text::Choice(texts) => Format::or(texts.iter().map(Format::text).collect::<Vec<_>>()),
    }
}
