//! What stands between a message's beginning and its content.

use crate::message::{Channel, FUNCTIONS};
use crate::{Kind, is_function_name};

/// No header is as long, in bytes: a function's name has 64 characters at most.
const LONGEST: usize = 256;

/// The longest word that may stand in a header for no reason, in bytes.
const LONGEST_WORD: usize = 32;

const ASSISTANT: &str = "assistant";

/// Whom a message cannot call.
const NO_FUNCTIONS: [&str; 10] = [
    "all",
    ASSISTANT,
    "user",
    "system",
    "developer",
    "tool",
    "functions",
    "analysis",
    "commentary",
    "final",
];

/// Authors that are not the assistant.
const OTHERS: [&str; 4] = ["user", "system", "developer", "tool"];

/// Types of contents that stand without `<|constrain|>` too.
const CONTENT_TYPES: [&str; 4] = ["json", "code", "text", "application/json"];

const CHANNELS: [Channel; 3] = [Channel::Analysis, Channel::Commentary, Channel::Final];

/// The parts of a header, by the token before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Field {
    /// The author, or what the prompt's `assistant` is followed by.
    #[default]
    Author,
    /// After `<|channel|>`.
    Channel,
    /// After `<|constrain|>`.
    Constrain,
}

/// What was before a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    /// `<|end|>`, or a content that nothing ended.
    #[default]
    End,
    /// `<|start|>`: an author follows.
    Start,
    /// `<|start|>assistant`.
    Assistant,
}

/// A header as it is written.
#[derive(Debug, Default)]
pub(super) struct Header {
    before: Before,
    field: Field,
    author: Vec<u8>,
    channel: Vec<u8>,
    constrain: Vec<u8>,
}

/// What a header says.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The author is not the assistant.
    pub(super) foreign: bool,
    /// Text in the header's place.
    pub(super) text: String,
    channel: Option<Channel>,
    recipient: Option<String>,
}

/// To whom a message is.
pub(super) enum To {
    All,
    Function { name: String, offered: bool },
}

impl Header {
    pub(super) fn after_assistant() -> Self {
        Self {
            before: Before::Assistant,
            ..Self::default()
        }
    }

    pub(super) fn after_start() -> Self {
        Self {
            before: Before::Start,
            ..Self::default()
        }
    }

    pub(super) fn after_end() -> Self {
        Self::default()
    }

    /// A field begins. One that begins twice says what both say.
    pub(super) fn begin(&mut self, field: Field) {
        self.field = field;
        self.push(b" ");
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self.field {
            Field::Author => &mut self.author,
            Field::Channel => &mut self.channel,
            Field::Constrain => &mut self.constrain,
        }
        .extend_from_slice(bytes);
    }

    /// Whether this can be no header: it is too long, or has text in several lines where the
    /// author stands.
    pub(super) fn is_text(&self) -> bool {
        let length = self.author.len() + self.channel.len() + self.constrain.len();
        length > LONGEST || (self.field == Field::Author && self.has_lines())
    }

    fn has_lines(&self) -> bool {
        self.author.contains(&b'\n') && {
            let text = String::from_utf8_lossy(&self.author);
            without_assistant(&text).trim_start().contains('\n')
        }
    }

    /// What a header says that `<|message|>` ended.
    pub(super) fn parse(self) -> Parsed {
        let mut parsed = Parsed::default();
        let author = String::from_utf8_lossy(&self.author);
        let mut words = without_assistant(&author).split_whitespace().peekable();
        let named = without_assistant(&author).len() < author.trim_start().len();
        let first = words.peek().copied().unwrap_or_default();
        let mut unknown = Vec::new();
        for word in words {
            if !parsed.take(word) {
                unknown.push(word);
            }
        }
        parsed.take_channel(&String::from_utf8_lossy(&self.channel));
        for word in String::from_utf8_lossy(&self.constrain).split_whitespace() {
            parsed.take_recipient(word);
        }
        let alone = unknown.len() <= 1;
        parsed.foreign = !named && self.is_foreign(first, alone, parsed.recipient.as_deref());
        let unknown = unknown.join(" ");
        if has_text(&unknown) && !parsed.foreign {
            parsed.text = unknown;
        }
        parsed
    }

    /// Whether the author, by the header's first word, is not the assistant. `alone`: no other
    /// word is there that no header has.
    fn is_foreign(&self, first: &str, alone: bool, recipient: Option<&str>) -> bool {
        let role = first.split(':').next().unwrap_or_default();
        let other = OTHERS.contains(&role);
        match self.before {
            Before::Assistant => false,
            // A function's result has no type, a call whose author is missing may have one.
            Before::Start if first.starts_with(FUNCTIONS) => self.constrain.is_empty(),
            Before::Start => other || recipient == Some(ASSISTANT),
            Before::End => (other && alone) || recipient == Some(ASSISTANT),
        }
    }

    /// What a header says that no `<|message|>` ended, and what of it is text.
    /// `cut`: the tokens ended, perhaps inside a header's word.
    pub(super) fn parse_unfinished(self, cut: bool) -> Parsed {
        let mut parsed = Parsed::default();
        let author = String::from_utf8_lossy(&self.author);
        let text = parsed.after_words(without_assistant(&author));
        let first = text.split_whitespace().next().unwrap_or_default();
        let recipient = parsed.recipient.as_deref();
        if self.before == Before::Start && self.is_foreign(first, false, recipient) {
            parsed.foreign = true;
            return parsed;
        }
        let mut texts = Vec::new();
        if self.field == Field::Author || has_text(text) {
            texts.push(text.to_owned());
        }
        let channel = String::from_utf8_lossy(&self.channel);
        let text = parsed.after_channel(channel.trim_start());
        let text = parsed.after_words(text).trim_start();
        if parsed.channel.is_some() || parsed.recipient.is_some() || has_text(text) {
            texts.push(text.to_owned());
        }
        let constrain = String::from_utf8_lossy(&self.constrain);
        let text = constrain.trim_start().trim_start_matches(is_of_type);
        texts.push(parsed.after_words(text).trim_start().to_owned());
        texts.retain(|text| !text.trim().is_empty());
        parsed.text = texts.join(" ");
        if cut && may_become_header(&parsed.text) {
            parsed.text.clear();
        }
        parsed
    }
}

impl Parsed {
    /// What a message's text is. Without a channel it is an answer.
    pub(super) fn kind(&self) -> Kind {
        match self.channel {
            Some(Channel::Analysis) => Kind::Reasoning,
            Some(Channel::Commentary) => Kind::Preamble,
            Some(Channel::Final) | None => Kind::Final,
        }
    }

    /// To whom the message is, where these functions were offered.
    pub(super) fn to(&self, offered: &[String]) -> To {
        let Some(recipient) = &self.recipient else {
            return To::All;
        };
        let name = recipient.strip_prefix(FUNCTIONS).unwrap_or(recipient);
        let is_offered = |name: &str| offered.iter().any(|offered| offered == name);
        // `<|constrain|>` may be missing between the name and the content's type.
        let glued = CONTENT_TYPES
            .iter()
            .filter_map(|content_type| name.strip_suffix(content_type));
        for name in std::iter::once(name).chain(glued) {
            if is_offered(name) {
                return To::Function {
                    name: name.to_owned(),
                    offered: true,
                };
            }
        }
        let name = name.replace('.', "_");
        if offered.is_empty() || NO_FUNCTIONS.contains(&name.as_str()) || !is_function_name(&name) {
            return To::All;
        }
        To::Function {
            name,
            offered: false,
        }
    }

    /// Takes a word where it is a header's.
    fn take(&mut self, word: &str) -> bool {
        if self.take_recipient(word) {
            return true;
        }
        let channel = CHANNELS
            .into_iter()
            .find(|channel| channel.as_str() == word);
        self.channel = channel.or(self.channel);
        channel.is_some() || word == ASSISTANT || CONTENT_TYPES.contains(&word)
    }

    /// Takes a word where it names whom the message is to.
    fn take_recipient(&mut self, word: &str) -> bool {
        let name = match word.strip_prefix("to=") {
            Some(name) => name,
            None if word.starts_with(FUNCTIONS) && self.recipient.is_none() => word,
            None => return false,
        };
        if !name.is_empty() {
            self.recipient = Some(name.to_owned());
        }
        true
    }

    /// Takes what follows `<|channel|>`: no word of it is text.
    fn take_channel(&mut self, field: &str) {
        for word in field.split_whitespace() {
            let rest = self.after_channel(word);
            self.take_recipient(rest);
        }
    }

    /// Takes a channel's name at a text's beginning and returns what follows it.
    fn after_channel<'t>(&mut self, text: &'t str) -> &'t str {
        for channel in CHANNELS {
            let name = channel.as_str();
            let is = |start: &str| start.eq_ignore_ascii_case(name);
            if text.get(..name.len()).is_some_and(is) {
                self.channel = Some(channel);
                return &text[name.len()..];
            }
        }
        text
    }

    /// Takes the header's words at a text's beginning and returns what follows them. A word
    /// that texts begin with too is one of them where nothing or a recipient follows.
    fn after_words<'t>(&mut self, text: &'t str) -> &'t str {
        let trimmed = text.trim_start();
        let (word, rest) =
            trimmed.split_at(trimmed.find(char::is_whitespace).unwrap_or(trimmed.len()));
        let next = rest.trim_start();
        let is_alone = next.is_empty() || next.starts_with("to=") || next.starts_with(FUNCTIONS);
        if self.take_recipient(word) || (is_alone && self.take(word)) {
            return self.after_words(rest);
        }
        // The content may have been meant to begin with a space.
        text
    }
}

/// A header's text without the names of the assistant that it begins with.
fn without_assistant(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some(after) = rest.strip_prefix(ASSISTANT) {
        let glued = after.starts_with(|next: char| next.is_ascii_lowercase());
        let known = CHANNELS
            .iter()
            .any(|channel| after.starts_with(channel.as_str()))
            || [ASSISTANT, "to=", FUNCTIONS]
                .iter()
                .any(|word| after.starts_with(word));
        if glued && !known {
            break;
        }
        rest = after.trim_start();
    }
    if rest.len() == text.trim_start().len() {
        text
    } else {
        rest
    }
}

/// Whether what no header has is text, not a slip: several words, or one that is long or of
/// another script. Signs alone are none.
fn has_text(text: &str) -> bool {
    let mut words = text
        .split_whitespace()
        .filter(|word| word.contains(char::is_alphanumeric));
    match (words.next(), words.next()) {
        (None, _) => false,
        (Some(word), None) => {
            word.len() > LONGEST_WORD
                || word.contains(|char: char| !char.is_ascii() && char.is_alphanumeric())
        }
        (Some(_), Some(_)) => true,
    }
}

/// Whether a text that was cut may be the beginning of a header's word.
fn may_become_header(text: &str) -> bool {
    let text = text.trim();
    [ASSISTANT, "to=", FUNCTIONS]
        .into_iter()
        .chain(CHANNELS.map(Channel::as_str))
        .any(|word| word.starts_with(text))
}

/// Whether a content's type has this character.
fn is_of_type(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_./+-".contains(char)
}
