//! `output_config`: how much effort, and the form of the answer.

use mxfp4_harmony::grammar::{Limits, Text};
use mxfp4_harmony::{Effort, ResponseFormat};

use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};
use crate::request::form::{Form, schema};

/// What an answer is to be like.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) effort: Option<Effort>,
    pub(super) form: Option<Form>,
}

/// Reads `output_config`, and `output_format`, the former name of its form.
pub(super) fn read(body: &mut Object<'_>, limits: &mut Limits) -> Result<Output, ApiError> {
    let mut output = Output::default();
    let mut format = body.get("output_format");
    if let Some(field) = body.get("output_config") {
        let mut config = field.object()?;
        format = config.get("format").or(format);
        if let Some(field) = config.get("effort") {
            let effort = field.string()?.parse();
            output.effort = Some(effort.map_err(|error| field.refuse(error))?);
        }
    }
    if let Some(field) = format {
        output.form = Some(form(&field, limits)?);
    }
    Ok(output)
}

fn form(field: &Field<'_>, limits: &mut Limits) -> Result<Form, ApiError> {
    let mut object = field.object()?;
    let Some(kind) = object.get("type") else {
        return Err(ApiError::field(&object.path_of("type"), "is missing"));
    };
    let name = kind.string()?;
    if name != "json_schema" {
        return Err(kind.refuse(format_args!(
            "{:?} is not known here; send \"json_schema\"",
            excerpt(&name)
        )));
    }
    let Some(raw) = object.get("schema") else {
        return Err(ApiError::field(&object.path_of("schema"), "is missing"));
    };
    let (enforced, schema) = schema(&raw, limits)?;
    Ok(Form {
        path: field.path().to_owned(),
        text: Text::Json(enforced),
        told: Some(ResponseFormat {
            name: "response".to_owned(),
            description: None,
            schema,
        }),
    })
}
