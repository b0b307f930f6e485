//! `text`: the form of the answer.

use mxfp4_harmony::ResponseFormat;
use mxfp4_harmony::grammar::{Limits, Schema, Text};
use serde_json::{Value, json};

use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};
use crate::request::form::{Form, schema};
use crate::request::sampling::flag;

/// Reads `text`. Returns the form, and what the response says of the field.
pub(super) fn read(
    body: &mut Object<'_>,
    limits: &mut Limits,
) -> Result<(Option<Form>, Value), ApiError> {
    let plain = json!({"type": "text"});
    let Some(field) = body.get("text") else {
        return Ok((None, json!({"format": plain, "verbosity": "medium"})));
    };
    let mut text = field.object()?;
    let verbosity = match text.get("verbosity") {
        Some(field) => read_verbosity(&field)?,
        None => "medium".to_owned(),
    };
    let Some(field) = text.get("format") else {
        return Ok((None, json!({"format": plain, "verbosity": verbosity})));
    };
    let form = read_format(&field, limits)?;
    let told: Value = field.read()?;
    Ok((form, json!({"format": told, "verbosity": verbosity})))
}

/// The model was not trained to it; a wrong word is wrong all the same.
fn read_verbosity(field: &Field<'_>) -> Result<String, ApiError> {
    let word = field.string()?;
    match word.as_str() {
        "low" | "medium" | "high" => Ok(word),
        other => Err(field.refuse(format_args!(
            "{:?} is not known here; send \"low\", \"medium\" or \"high\"",
            excerpt(other)
        ))),
    }
}

fn read_format(field: &Field<'_>, limits: &mut Limits) -> Result<Option<Form>, ApiError> {
    let mut format = field.object()?;
    let Some(kind) = format.get("type") else {
        return Err(ApiError::field(&format.path_of("type"), "is missing"));
    };
    match kind.string()?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Form {
            path: field.path().to_owned(),
            text: Text::Json(Schema::any_object()),
            told: None,
        })),
        "json_schema" => json_schema(field, &mut format, limits).map(Some),
        other => Err(kind.refuse(format_args!(
            "{:?} is not known here; send \"text\", \"json_object\" or \"json_schema\"",
            excerpt(other)
        ))),
    }
}

fn json_schema(
    field: &Field<'_>,
    format: &mut Object<'_>,
    limits: &mut Limits,
) -> Result<Form, ApiError> {
    let mut text = |key| format.get(key).map(|field| field.string()).transpose();
    let name = text("name")?.unwrap_or_else(|| "response".to_owned());
    let description = text("description")?;
    // Enforced either way.
    flag(format, "strict")?;
    let Some(raw) = format.get("schema") else {
        return Err(ApiError::field(&format.path_of("schema"), "is missing"));
    };
    let (enforced, schema) = schema(&raw, limits)?;
    Ok(Form {
        path: field.path().to_owned(),
        text: Text::Json(enforced),
        told: Some(ResponseFormat {
            name,
            description,
            schema,
        }),
    })
}
