//! Ends of messages.

/// By what a message was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// By `<|call|>`.
    Call,
    /// By any other token of the format's.
    End,
    /// By nothing: the tokens ended.
    Cut,
}
