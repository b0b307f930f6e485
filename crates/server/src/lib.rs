//! The HTTP front end: OpenAI's interface before an engine.
