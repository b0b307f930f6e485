//! The format that GPT-OSS reads and writes, called harmony: conversations to tokens,
//! tokens to events.
//!
//! ```no_run
//! use mxfp4_harmony::{Conversation, Event, Harmony, Turn, Vocabulary};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let vocabulary = Vocabulary::from_file("checkpoint/tokenizer.json".as_ref())?;
//! let harmony = Harmony::new(vocabulary.into())?;
//! let conversation = Conversation::new(vec![Turn::User("Two and two?".into())]);
//! let prompt: Vec<u32> = harmony.render(&conversation);
//! let mut reader = harmony.reader(&[] as &[&str]);
//! for id in [200005, 17196, 200008, 19, 200002] {
//!     reader.push(id, &mut |event| {
//!         if let Event::Content(text) = event {
//!             print!("{text}");
//!         }
//!     });
//! }
//! reader.finish(&mut |_| {});
//! # Ok(())
//! # }
//! ```
//!
//! The crate does no I/O but reading the vocabulary's file.

mod conversation;
mod effort;
mod event;
mod function_name;
pub mod grammar;
mod harmony;
mod memo;
mod message;
mod reader;
mod render;
mod special;
#[cfg(feature = "testing")]
pub mod testing;
mod typescript;
mod vocabulary;

pub use conversation::{Call, Conversation, Item, ResponseFormat, System, Tool, Turn};
pub use effort::{Effort, UnknownEffort};
pub use event::{End, Event, Kind, Part};
pub use function_name::is_function_name;
pub use harmony::Harmony;
pub use message::{Author, Channel, Message};
pub use reader::Reader;
pub use special::{MissingToken, Special};
pub use vocabulary::{NotBytes, Vocabulary, VocabularyError};
