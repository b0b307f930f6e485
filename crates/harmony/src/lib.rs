//! The format that GPT-OSS reads and writes: conversations to tokens, tokens to events.
