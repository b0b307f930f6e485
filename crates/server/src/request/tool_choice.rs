//! `tool_choice`: which functions the model may or has to call.

use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};

/// The most functions that a choice names.
const MOST_NAMES: usize = 1024;

/// Whether functions are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As the model likes.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// At least one is.
    Required,
}

/// Which functions the model may or has to call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) mode: Mode,
    /// The only ones; any where there is none.
    pub(crate) only: Option<Vec<String>>,
    /// The field that says so.
    pub(crate) path: Option<String>,
}

impl Choice {
    /// Reads `tool_choice`, or `function_call`, its former name. `offered` are the functions.
    pub(super) fn read(body: &mut Object<'_>, offered: &[&str]) -> Result<Self, ApiError> {
        let mut choice = Self::default();
        for key in ["tool_choice", "function_call"] {
            if let Some(field) = body.get(key) {
                choice = read(&field, offered)?;
                if choice.mode == Mode::Required && offered.is_empty() {
                    return Err(field.refuse("needs `tools` to choose from"));
                }
                choice.path = Some(field.path().to_owned());
            }
        }
        Ok(choice)
    }

    pub(super) fn allows(&self, name: &str) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| only.iter().any(|each| each == name))
    }

    /// Whether there are functions that the model is told of and may not call.
    pub(super) fn is_restricted(&self) -> bool {
        self.only.is_some()
    }
}

fn read(field: &Field<'_>, offered: &[&str]) -> Result<Choice, ApiError> {
    if field.is_string() {
        return Ok(Choice {
            mode: mode(field, true, "a function")?,
            ..Choice::default()
        });
    }
    let mut object = field.object()?;
    let kind = object.get("type");
    let kind = kind.map_or(Ok("function".to_owned()), |kind| kind.string())?;
    match kind.as_str() {
        "function" => Ok(Choice {
            mode: Mode::Required,
            only: Some(vec![named(&mut object, offered)?]),
            path: None,
        }),
        "allowed_tools" => allowed_tools(&mut object, offered),
        other => Err(ApiError::field(
            &object.path_of("type"),
            format_args!(
                "{:?} is not known here; send `function` or `allowed_tools`",
                excerpt(other)
            ),
        )),
    }
}

/// A choice in a word. `named` is what else may be chosen by name.
pub(crate) fn mode(field: &Field<'_>, may_be_none: bool, named: &str) -> Result<Mode, ApiError> {
    match field.string()?.as_str() {
        "auto" => Ok(Mode::Auto),
        "none" if may_be_none => Ok(Mode::None),
        "required" => Ok(Mode::Required),
        other => Err(field.refuse(format_args!(
            "{:?} is not known here; send \"auto\", \"required\"{}",
            excerpt(other),
            match may_be_none {
                true => format!(", \"none\", or {named}"),
                false => String::new(),
            }
        ))),
    }
}

/// `{"function": {"name"}}`, or `{"name"}`.
fn named(object: &mut Object<'_>, offered: &[&str]) -> Result<String, ApiError> {
    let (name, missing) = match object.get("function") {
        Some(function) => {
            let mut function = function.object()?;
            (function.get("name"), function.path_of("name"))
        }
        None => (object.get("name"), object.path_of("function")),
    };
    let Some(field) = name else {
        return Err(ApiError::field(&missing, "is missing"));
    };
    let name = field.string()?;
    if offered.contains(&&*name) {
        return Ok(name);
    }
    Err(field.refuse(format_args!(
        "no function in `tools` is called {:?}",
        excerpt(&name)
    )))
}

/// `{"allowed_tools": {"mode", "tools"}}`, or both without the object around.
fn allowed_tools(object: &mut Object<'_>, offered: &[&str]) -> Result<Choice, ApiError> {
    let mut inner;
    let object = match object.get("allowed_tools") {
        Some(field) => {
            inner = field.object()?;
            &mut inner
        }
        None => object,
    };
    let mode = object
        .get("mode")
        .map_or(Ok(Mode::Auto), |field| mode(&field, false, "a function"))?;
    let Some(field) = object.get("tools") else {
        return Err(ApiError::field(&object.path_of("tools"), "is missing"));
    };
    let mut only = Vec::new();
    for each in field.array(MOST_NAMES)? {
        only.push(named(&mut each.object()?, offered)?);
    }
    if only.is_empty() {
        return Err(field.refuse("must have at least one function"));
    }
    Ok(Choice {
        mode,
        only: Some(only),
        path: None,
    })
}
