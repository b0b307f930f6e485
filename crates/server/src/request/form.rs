//! The form that an answer's text is to have, by any of its names.

use mxfp4_harmony::ResponseFormat;
use mxfp4_harmony::grammar::{Limits, Schema, SchemaError, Text};
use serde_json::Value;

use super::sampling::flag;
use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};

/// The longest schema, and the longest regular expression or grammar, in bytes.
pub(crate) const LONGEST_SCHEMA: usize = 256 << 10;
const LONGEST_TEXT: usize = 32 << 10;
/// The most texts to choose from, and the bytes of all.
const MOST_CHOICES: usize = 1000;
const LONGEST_CHOICES: usize = 64 << 10;

/// A form, and the field that asks for it.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) path: String,
    pub(crate) text: Text,
    /// What the model is told of it.
    pub(crate) told: Option<ResponseFormat>,
}

/// Reads whichever field asks for a form. Two are too many.
pub(super) fn read(body: &mut Object<'_>, limits: &mut Limits) -> Result<Option<Form>, ApiError> {
    let mut form = Forms::default();
    if let Some(field) = body.get("response_format") {
        form.add(response_format(&field, limits)?)?;
    }
    if let Some(field) = body.get("structured_outputs") {
        form.add(structured_outputs(&field, limits)?)?;
    }
    for (key, kind) in FORMER {
        if let Some(field) = body.get(key) {
            form.add(Some(kind.read(&field, limits)?))?;
        }
    }
    Ok(form.found)
}

/// Former names in vLLM, and those in SGLang.
const FORMER: [(&str, Kind); 7] = [
    ("guided_json", Kind::Schema),
    ("guided_regex", Kind::Regex),
    ("guided_choice", Kind::Choice),
    ("guided_grammar", Kind::Ebnf),
    ("json_schema", Kind::Schema),
    ("regex", Kind::Regex),
    ("ebnf", Kind::Ebnf),
];

#[derive(Default)]
struct Forms {
    found: Option<Form>,
}

impl Forms {
    fn add(&mut self, form: Option<Form>) -> Result<(), ApiError> {
        match (&self.found, form) {
            (_, None) => Ok(()),
            (Some(other), Some(form)) => Err(ApiError::field(
                &form.path,
                format_args!("`{}` asks for a form too; send one of them", other.path),
            )),
            (None, form) => {
                self.found = form;
                Ok(())
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Schema,
    Regex,
    Choice,
    Ebnf,
}

impl Kind {
    fn read(self, field: &Field<'_>, limits: &mut Limits) -> Result<Form, ApiError> {
        let text = match self {
            Self::Schema => Text::Json(schema(field, limits)?.0),
            Self::Regex => Text::regex(bounded(field)?).map_err(|problem| field.refuse(problem))?,
            Self::Choice => Text::Choice(choice(field)?),
            Self::Ebnf => Text::Ebnf(bounded(field)?),
        };
        Ok(Form {
            path: field.path().to_owned(),
            text,
            told: None,
        })
    }
}

fn response_format(field: &Field<'_>, limits: &mut Limits) -> Result<Option<Form>, ApiError> {
    let mut object = field.object()?;
    let Some(kind) = object.get("type") else {
        return Err(ApiError::field(&object.path_of("type"), "is missing"));
    };
    match kind.string()?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(any_object(field))),
        "json_schema" => json_schema(field, &mut object, limits).map(Some),
        other => Err(kind.refuse(format_args!(
            "{:?} is not known here; send \"text\", \"json_object\" or \"json_schema\"",
            excerpt(other)
        ))),
    }
}

fn any_object(field: &Field<'_>) -> Form {
    Form {
        path: field.path().to_owned(),
        text: Text::Json(Schema::any_object()),
        told: None,
    }
}

fn json_schema(
    field: &Field<'_>,
    object: &mut Object<'_>,
    limits: &mut Limits,
) -> Result<Form, ApiError> {
    let Some(named) = object.get("json_schema") else {
        return Err(ApiError::field(
            &object.path_of("json_schema"),
            "is missing",
        ));
    };
    let mut named = named.object()?;
    let mut text = |key| named.get(key).map(|field| field.string()).transpose();
    let name = text("name")?.unwrap_or_else(|| "response".to_owned());
    let description = text("description")?;
    // Enforced either way.
    flag(&mut named, "strict")?;
    let Some(raw) = named.get("schema") else {
        return Err(ApiError::field(&named.path_of("schema"), "is missing"));
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

fn structured_outputs(field: &Field<'_>, limits: &mut Limits) -> Result<Option<Form>, ApiError> {
    let mut object = field.object()?;
    let mut form = Forms::default();
    for (key, kind) in [
        ("json", Kind::Schema),
        ("regex", Kind::Regex),
        ("choice", Kind::Choice),
        ("grammar", Kind::Ebnf),
    ] {
        if let Some(field) = object.get(key) {
            form.add(Some(kind.read(&field, limits)?))?;
        }
    }
    if let Some(field) = object.get("json_object")
        && field.boolean()?
    {
        form.add(Some(any_object(&field)))?;
    }
    for key in ["structural_tag", "whitespace_pattern"] {
        if let Some(field) = object.get(key) {
            return Err(field.refuse("the server writes what is around the answer; leave it out"));
        }
    }
    for key in ["disable_any_whitespace", "disable_additional_properties"] {
        if let Some(field) = object.get(key)
            && field.boolean()?
        {
            return Err(field.refuse("is not known here; say it in the schema, or leave it out"));
        }
    }
    object.ignore(&["disable_fallback", "_backend", "_backend_was_auto"]);
    match form.found {
        Some(form) => Ok(Some(form)),
        None => {
            Err(field.refuse("must have `json`, `regex`, `choice`, `grammar` or `json_object`"))
        }
    }
}

/// A schema, or its text, enforced and as it came.
pub(crate) fn schema(field: &Field<'_>, limits: &mut Limits) -> Result<(Schema, Value), ApiError> {
    check_length(field, LONGEST_SCHEMA)?;
    let raw: Value = if field.is_string() {
        serde_json::from_str(&field.string()?)
            .map_err(|error| field.refuse(format_args!("the text is no JSON: {error}")))?
    } else {
        field.read()?
    };
    let schema = Schema::read(&raw, limits).map_err(|error| refuse(field.path(), &error))?;
    Ok((schema, raw))
}

/// A 400 that names the place in a schema.
pub(super) fn refuse(path: &str, error: &SchemaError) -> ApiError {
    ApiError::field(&format!("{path}{}", error.path), &error.problem)
}

pub(crate) fn check_length(field: &Field<'_>, most: usize) -> Result<(), ApiError> {
    let length = field.text().len();
    if length <= most {
        return Ok(());
    }
    Err(field.refuse(format_args!("has {length} bytes; it may have {most}")))
}

fn bounded(field: &Field<'_>) -> Result<String, ApiError> {
    check_length(field, LONGEST_TEXT)?;
    let text = field.string()?;
    if text.is_empty() {
        return Err(field.refuse("is empty"));
    }
    Ok(text)
}

fn choice(field: &Field<'_>) -> Result<Vec<String>, ApiError> {
    check_length(field, LONGEST_CHOICES)?;
    let texts = field.array(MOST_CHOICES)?;
    if texts.is_empty() {
        return Err(field.refuse("must have at least one text"));
    }
    let text = |field: &Field<'_>| match field.string()? {
        text if text.is_empty() => Err(field.refuse("is empty")),
        text => Ok(text),
    };
    texts.iter().map(text).collect()
}
