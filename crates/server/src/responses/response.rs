//! A response as JSON.

use serde::Serialize;
use serde_json::value::RawValue;

use super::context::Context;
use super::echo::Echo;
use super::item::{OutputItem, Status};
use super::kept::Input;
use super::request::About;
use super::tools::Names;
use crate::answer::Usage;
use crate::api_error::ApiError;
use crate::serving::seconds;
use crate::store::Entry;

/// What a response is made of before the model has written anything.
pub(crate) struct Head {
    pub(super) context: Context,
    pub(super) names: Names,
    pub(super) seals: bool,
    created: u64,
    echo: Echo,
    kept: Option<Input>,
}

/// What is made of it then.
#[derive(Clone, Copy)]
pub(super) struct State<'a> {
    pub(super) status: Status,
    pub(super) output: &'a [OutputItem],
    pub(super) usage: Option<Usage>,
    pub(super) error: Option<&'a ApiError>,
}

#[derive(Serialize)]
struct Whole<'a> {
    id: &'a str,
    object: &'static str,
    created_at: u64,
    status: Status,
    completed_at: Option<u64>,
    error: Option<Failure<'a>>,
    incomplete_details: Option<Incomplete>,
    output: &'a [OutputItem],
    usage: Option<Counts>,
    store: bool,
    #[serde(flatten)]
    echo: &'a Echo,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct Counts {
    input_tokens: u32,
    input_tokens_details: InputDetails,
    output_tokens: u32,
    output_tokens_details: OutputDetails,
    total_tokens: u32,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u32,
    cache_write_tokens: u32,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u32,
}

impl Head {
    pub(crate) fn new(about: About, context: Context) -> Self {
        Self {
            context,
            names: about.names,
            seals: about.seals,
            created: seconds(),
            echo: about.echo,
            kept: about.kept,
        }
    }

    /// `resp_...`
    pub(super) fn id(&self) -> String {
        format!("resp_{}", self.context.id)
    }

    /// The id of an item, by its kind.
    pub(super) fn item_id(&self, kind: &str, index: usize) -> String {
        format!("{kind}_{}_{index}", self.context.id)
    }

    /// The response as it is on the way.
    pub(super) fn json(&self, state: State<'_>) -> Box<RawValue> {
        self.write(state, self.kept.is_some())
    }

    /// The response at its end, which is kept where it is to be. A file is written here and now, so
    /// that a client that has the last event finds the response: it is one row.
    pub(super) fn end(&mut self, state: State<'_>) -> Box<RawValue> {
        let Some(kept) = self.kept.take() else {
            return self.write(state, false);
        };
        let response = self.write(state, true);
        let entry = Entry {
            id: self.id(),
            owner: self.context.owner().map(str::to_owned),
            previous: kept.previous,
            input: kept.items,
            output: serde_json::to_string(state.output).unwrap_or_default(),
            response: response.get().to_owned(),
        };
        match self.context.keep(entry) {
            true => response,
            false => self.write(state, false),
        }
    }

    fn write(&self, state: State<'_>, store: bool) -> Box<RawValue> {
        let is_done = state.status == Status::Completed;
        let is_cut = state.status == Status::Incomplete;
        let whole = Whole {
            id: &self.id(),
            object: "response",
            created_at: self.created,
            status: state.status,
            completed_at: is_done.then(seconds),
            error: state.error.map(|error| Failure {
                code: "server_error",
                message: error.message(),
            }),
            incomplete_details: is_cut.then_some(Incomplete {
                reason: "max_output_tokens",
            }),
            output: state.output,
            usage: state.usage.map(counts),
            store,
            echo: &self.echo,
        };
        // Strings, numbers and lists are always JSON.
        serde_json::value::to_raw_value(&whole).unwrap_or_default()
    }
}

fn counts(usage: Usage) -> Counts {
    Counts {
        input_tokens: usage.prompt(),
        input_tokens_details: InputDetails {
            cached_tokens: usage.cached(),
            cache_write_tokens: 0,
        },
        output_tokens: usage.completion(),
        output_tokens_details: OutputDetails {
            reasoning_tokens: usage.reasoning(),
        },
        total_tokens: usage.prompt().saturating_add(usage.completion()),
    }
}
