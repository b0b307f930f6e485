//! What a [`Reader`](crate::Reader) tells.

/// Something that the model said or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message with text begins; its text follows in [`Reasoning`](Self::Reasoning) or
    /// [`Content`](Self::Content). Told before a message's first text: an empty message tells
    /// nothing.
    Message(Kind),
    /// A piece of reasoning, whole characters.
    Reasoning(&'a str),
    /// A piece of the answer or of a preamble, whole characters.
    Content(&'a str),
    /// A whole call.
    Call {
        /// The function, without `functions.`; see [`is_function_name`](crate::is_function_name).
        name: String,
        /// Valid JSON, as the model wrote it where that was JSON. Otherwise control characters
        /// and backslashes in strings are escaped, `NaN` and the like are `null`, commas and
        /// closing brackets too many are dropped, brackets that miss before `<|call|>` added.
        arguments: String,
    },
    /// The turn is over; whatever follows is ignored.
    End(End),
}

/// What a message with text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The channel `analysis`.
    Reasoning,
    /// The channel `commentary`: words on the way to a call. Clients get it as content.
    Preamble,
    /// The channel `final`: the answer.
    Final,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// At `<|return|>` or `<|endoftext|>`.
    Return,
    /// At `<|call|>`.
    Call,
    /// The model began to write somebody else's message after it had answered or called.
    /// No token of the engine's ends there: the generation has to be cancelled.
    OtherRole,
}

/// Which part of an answer a token belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Headers, the format's tokens, and what no client sees.
    Header,
    /// Counted as reasoning tokens.
    Reasoning,
    /// The answer and preambles.
    Content,
    /// A call's arguments, held back until they are whole. Content where they are no JSON.
    Call,
}
