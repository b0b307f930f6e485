//! Conversations to tokens.

use crate::message::FUNCTIONS;
use crate::{
    Author, Call, Channel, Conversation, Harmony, Item, Message, ResponseFormat, System, Tool,
    Turn, typescript,
};

impl Harmony {
    /// The prompt for the next turn. Ends with `<|start|>assistant`.
    ///
    /// - [`Turn::Developer`]s before any other turn, the tools and the answer's form are one
    ///   developer message; later ones stay where they stand.
    /// - Reasoning before the last [`Item::Final`] is dropped, reasoning since then kept.
    /// - Empty instructions are left out.
    pub fn render(&self, conversation: &Conversation) -> Vec<u32> {
        let mut out = Out::new(self);
        out.messages(&messages(conversation, None));
        out.special(self.special.start);
        out.text(Author::Assistant.as_str());
        out.tokens
    }

    /// A prompt that ends inside the last turn, for the model to write on; [`None`] where the
    /// last turn is not the assistant's, or has nothing or a call at its end.
    ///
    /// The reasoning of the open turn is kept. Returns the prompt and how many of its last
    /// tokens follow `<|start|>assistant`: these [`reader_after`](Self::reader_after) needs.
    pub fn render_open(&self, conversation: &Conversation) -> Option<(Vec<u32>, usize)> {
        let Some(Turn::Assistant(items)) = conversation.turns.last() else {
            return None;
        };
        if matches!(items.last()?, Item::Call(_)) {
            return None;
        }
        let mut messages = messages(conversation, Some(conversation.turns.len() - 1));
        let open = messages.pop()?;
        let mut out = Out::new(self);
        out.messages(&messages);
        out.special(self.special.start);
        out.text(open.author.as_str());
        let start = out.tokens.len();
        out.header(&open);
        out.text(&open.content);
        let opened = out.tokens.len() - start;
        Some((out.tokens, opened))
    }

    /// Messages as they are, nothing dropped, nothing appended.
    pub fn render_messages(&self, messages: &[Message]) -> Vec<u32> {
        let mut out = Out::new(self);
        out.messages(messages);
        out.tokens
    }
}

/// The format's messages of a conversation, without reasoning that is no longer needed.
/// A final message of the turn `open` is no answer yet.
fn messages(conversation: &Conversation, open: Option<usize>) -> Vec<Message> {
    let turns = &conversation.turns;
    let first = turns
        .iter()
        .take_while(|turn| matches!(turn, Turn::Developer(_)))
        .count();
    let mut messages = vec![system(&conversation.system, !conversation.tools.is_empty())];
    let instructions: Vec<&str> = turns[..first].iter().filter_map(instructions).collect();
    let format = conversation.format.as_ref();
    messages.extend(developer(
        &instructions.join("\n\n"),
        &conversation.tools,
        format,
    ));
    let closed = open.unwrap_or(turns.len());
    let answered = turns[..closed]
        .iter()
        .rposition(|turn| matches!(turn, Turn::Assistant(items) if final_at(items).is_some()));
    for (at, turn) in turns.iter().enumerate().skip(first) {
        let dropped = match (turn, answered) {
            (Turn::Assistant(items), Some(last)) if at == last => final_at(items).unwrap_or(0),
            (_, Some(last)) if at < last => usize::MAX,
            _ => 0,
        };
        push_turn(turn, dropped, &mut messages);
    }
    messages
}

/// Where the last answer among items is.
fn final_at(items: &[Item]) -> Option<usize> {
    items
        .iter()
        .rposition(|item| matches!(item, Item::Final(_)))
}

fn instructions(turn: &Turn) -> Option<&str> {
    match turn {
        Turn::Developer(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Adds a turn's messages. Reasoning among its first `dropped` items is dropped.
fn push_turn(turn: &Turn, dropped: usize, messages: &mut Vec<Message>) {
    match turn {
        Turn::Developer(text) => messages.extend(developer(text, &[], None)),
        Turn::User(text) => messages.push(Message::new(Author::User, text)),
        Turn::Assistant(items) => messages.extend(
            items
                .iter()
                .enumerate()
                .filter(|(at, item)| *at >= dropped || !matches!(item, Item::Reasoning(_)))
                .map(|(_, item)| Message::from(item)),
        ),
        Turn::ToolResult { name, content } => messages.push(Message {
            recipient: Some(Author::Assistant.as_str().to_owned()),
            channel: Some(Channel::Commentary),
            ..Message::new(Author::Tool(format!("{FUNCTIONS}{name}")), content)
        }),
    }
}

impl From<&Item> for Message {
    /// A call is written to `functions.`, in the channel `commentary`, as JSON.
    fn from(item: &Item) -> Self {
        let of = |channel, text: &str| Message {
            channel: Some(channel),
            ..Message::new(Author::Assistant, text)
        };
        match item {
            Item::Reasoning(text) => of(Channel::Analysis, text),
            Item::Preamble(text) => of(Channel::Commentary, text),
            Item::Final(text) => of(Channel::Final, text),
            Item::Call(Call { name, arguments }) => Message {
                recipient: Some(format!("{FUNCTIONS}{name}")),
                constrain: Some("json".to_owned()),
                ..of(Channel::Commentary, arguments)
            },
        }
    }
}

/// The format's system message.
fn system(system: &System, tools: bool) -> Message {
    let mut lines = Vec::new();
    if !system.identity.is_empty() {
        lines.push(system.identity.clone());
    }
    if !system.cutoff.is_empty() {
        lines.push(format!("Knowledge cutoff: {}", system.cutoff));
    }
    lines.extend(
        system
            .date
            .iter()
            .map(|date| format!("Current date: {date}")),
    );
    let mut channels = "# Valid channels: analysis, commentary, final. \
                        Channel must be included for every message."
        .to_owned();
    if tools {
        channels.push_str("\nCalls to these tools must go to the commentary channel: 'functions'.");
    }
    let mut sections = vec![
        lines.join("\n"),
        format!("Reasoning: {}", system.effort.as_str()),
        channels,
    ];
    sections.retain(|section| !section.is_empty());
    Message::new(Author::System, &sections.join("\n\n"))
}

/// A developer message, where there is something to say.
fn developer(
    instructions: &str,
    tools: &[Tool],
    format: Option<&ResponseFormat>,
) -> Option<Message> {
    let mut sections = Vec::new();
    if !instructions.is_empty() {
        sections.push("# Instructions".to_owned());
        sections.push(instructions.to_owned());
    }
    if !tools.is_empty() {
        sections.push("# Tools".to_owned());
        sections.push("## functions".to_owned());
        sections.push("namespace functions {".to_owned());
        sections.extend(tools.iter().map(declaration));
        sections.push("} // namespace functions".to_owned());
    }
    if let Some(format) = format {
        sections.push("# Response Formats".to_owned());
        sections.push(format!("## {}", format.name));
        sections.push(comment(format.description.as_deref()) + &format.schema.to_string());
    }
    (!sections.is_empty()).then(|| Message::new(Author::Developer, &sections.join("\n\n")))
}

/// A function's description and type.
fn declaration(tool: &Tool) -> String {
    let mut text = comment(tool.description.as_deref());
    text.push_str("type ");
    text.push_str(&tool.name);
    text.push_str(" = ");
    typescript::write_function(tool.parameters.as_ref(), &mut text);
    text.push(';');
    text
}

/// A description, each line of it behind slashes.
fn comment(description: Option<&str>) -> String {
    let lines = description.unwrap_or_default().lines();
    lines.map(|line| format!("// {line}\n")).collect()
}

/// Tokens that are being written.
struct Out<'h> {
    harmony: &'h Harmony,
    tokens: Vec<u32>,
}

impl<'h> Out<'h> {
    fn new(harmony: &'h Harmony) -> Self {
        Self {
            harmony,
            tokens: Vec::new(),
        }
    }

    fn special(&mut self, id: u32) {
        self.tokens.push(id);
    }

    /// Plain text. Each piece is encoded by itself, as the model was trained.
    fn text(&mut self, text: &str) {
        let encode = |text: &str| self.harmony.vocabulary.encode(text);
        self.harmony.memo.append(text, encode, &mut self.tokens);
    }

    fn messages(&mut self, messages: &[Message]) {
        let special = self.harmony.special;
        for message in messages {
            self.special(special.start);
            self.text(message.author.as_str());
            self.header(message);
            self.text(&message.content);
            let call = message.author == Author::Assistant && message.recipient.is_some();
            self.special(if call { special.call } else { special.end });
        }
    }

    /// What stands between the author and the content.
    fn header(&mut self, message: &Message) {
        let special = self.harmony.special;
        if let Some(recipient) = &message.recipient {
            self.text(&format!(" to={recipient}"));
        }
        if let Some(channel) = message.channel {
            self.special(special.channel);
            self.text(channel.as_str());
        }
        if let Some(constrain) = &message.constrain {
            self.text(" ");
            self.special(special.constrain);
            self.text(constrain);
        }
        self.special(special.message);
    }
}

#[cfg(test)]
mod tests;
