//! How the engine's end of an answer is read.

use mxfp4_engine::{EngineError, Finish};

/// What the engine's word for the end means.
pub(super) enum Ended {
    Not,
    /// At an end token, which is the last.
    Stop,
    Length,
}

impl Ended {
    pub(super) fn of(finish: Option<Finish>) -> Result<Self, EngineError> {
        match finish {
            None => Ok(Self::Not),
            Some(Finish::Stop) => Ok(Self::Stop),
            Some(Finish::Length) => Ok(Self::Length),
            Some(Finish::Cancelled) => Err(EngineError::Failed("it cancelled the request".into())),
        }
    }
}
