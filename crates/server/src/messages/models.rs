//! The models, in Anthropic's form.

use serde::Serialize;

use crate::serving::Serving;

#[derive(Serialize)]
struct Model<'a> {
    r#type: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: String,
    lifecycle: &'static str,
    max_input_tokens: u32,
    max_tokens: u32,
}

/// All models, on one page.
pub(crate) fn list(serving: &Serving) -> Vec<u8> {
    #[derive(Serialize)]
    struct List<'a> {
        data: Vec<Model<'a>>,
        has_more: bool,
        first_id: Option<&'a String>,
        last_id: Option<&'a String>,
    }
    let models = &serving.models;
    let list = List {
        data: models.iter().map(|id| about(id, serving)).collect(),
        has_more: false,
        first_id: models.first(),
        last_id: models.last(),
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

/// One model.
pub(crate) fn model(id: &str, serving: &Serving) -> Vec<u8> {
    serde_json::to_vec(&about(id, serving)).unwrap_or_default()
}

fn about<'a>(id: &'a str, serving: &Serving) -> Model<'a> {
    let since = i64::try_from(serving.since).unwrap_or_default();
    let since = jiff::Timestamp::from_second(since).unwrap_or_default();
    let length = serving.engine.hello().max_length;
    Model {
        r#type: "model",
        id,
        display_name: id,
        created_at: since.to_string(),
        lifecycle: "active",
        max_input_tokens: length,
        max_tokens: length,
    }
}
