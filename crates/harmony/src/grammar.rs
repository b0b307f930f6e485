//! What an answer is held to: from what a request asks to a structural tag of xgrammar.
//!
//! A tag begins right after `<|start|>assistant`, or inside the message that the prompt ends in.
//! It does not hold `<|call|>` and `<|return|>`: they are stop tokens, which xgrammar takes
//! where the tag is whole and nowhere else.
//!
//! ```no_run
//! use mxfp4_harmony::grammar::{Grammar, Limits, Schema, Text};
//! # fn tag(harmony: &mxfp4_harmony::Harmony) -> Result<String, Box<dyn std::error::Error>> {
//! let schema = serde_json::json!({"type": "object", "properties": {"a": {"type": "integer"}}});
//! let schema = Schema::read(&schema, &mut Limits::default())?;
//! let grammar = Grammar::answer(Text::Json(schema));
//! let tag: String = harmony.structural_tag(&grammar);
//! # Ok(tag)
//! # }
//! ```

mod ask;
mod format;
mod schema;
mod tag;
pub mod tool_input;

pub use ask::{Arguments, Calls, Grammar, Opened, Text};
pub use schema::{Limits, Problem, Schema, SchemaError};
pub use tag::text_tag;
