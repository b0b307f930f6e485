//! What clients get: from tokens to text, whole or in events.

mod asked;
mod chat_reading;
mod choice;
mod choices;
mod chunks;
mod ends;
mod escape;
mod events;
mod finish;
mod ids;
mod raw_reading;
mod scores;
mod sink;
mod stop_words;
mod stream;
mod text;
mod usage;
mod utf8;
mod whole;

pub(crate) use asked::{Asked, Shape};
pub(crate) use chat_reading::{ChatOptions, ChatReading};
pub(crate) use choice::{Choice, Reading};
pub(crate) use choices::Answer;
pub(crate) use chunks::Chunks;
pub(crate) use escape::escape;
pub(crate) use events::put_json;
pub(crate) use finish::FinishReason;
pub(crate) use ids::Ids;
pub(crate) use raw_reading::RawReading;
pub(crate) use scores::Score;
pub(crate) use sink::{Scored, Sink, Sinks};
pub(crate) use stop_words::StopWords;
pub(crate) use stream::{EventStream, Format};
pub(crate) use text::AnswerText;
pub(crate) use usage::Usage;
pub(crate) use whole::{collect, gather};
