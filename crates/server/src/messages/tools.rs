//! `tools` and `tool_choice`.

use std::collections::HashSet;

use mxfp4_harmony::Tool;

use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};
use crate::request::form::{LONGEST_SCHEMA, check_length};
use crate::request::sampling::flag;
use crate::request::{Choice, MOST_TOOLS, Mode, Offered, Offers, Reader, Tools, function_name};

/// Reads both, and whether more than one call may come. Deferred tools are offered where they
/// were `found`. Tools of Anthropic's own, which have a
/// type, are left out: they run on its servers, or have schemas that its models alone know.
pub(super) fn read(
    body: &mut Object<'_>,
    reader: &Reader<'_>,
    found: &HashSet<String>,
) -> Result<(Tools, bool), ApiError> {
    let (offers, left_out) = read_offers(body, reader, found)?;
    let Some(field) = body.get("tool_choice") else {
        return Ok((Tools::new(offers, Choice::default()), true));
    };
    let mut object = field.object()?;
    let several = !flag(&mut object, "disable_parallel_tool_use")?;
    let mut choice = read_choice(&mut object, &offers.names(), &left_out)?;
    if choice.mode == Mode::Required && offers.names().is_empty() {
        return Err(field.refuse("needs `tools` to choose from"));
    }
    choice.path = Some(field.path().to_owned());
    Ok((Tools::new(offers, choice), several))
}

/// The tools that are offered, and the names of those that are left out.
fn read_offers(
    body: &mut Object<'_>,
    reader: &Reader<'_>,
    found: &HashSet<String>,
) -> Result<(Offers, Vec<String>), ApiError> {
    let mut offers = Offers::default();
    let mut left_out = Vec::new();
    if let Some(field) = body.get("tools") {
        for each in field.array(MOST_TOOLS)? {
            let mut tool = each.object()?;
            match foreign(&mut tool)? {
                Some(kind) => {
                    reader.unknown.tell_tool(&kind);
                    left_out.extend(tool.get("name").map(|name| name.string()).transpose()?);
                }
                None => {
                    let deferred = flag(&mut tool, "defer_loading")?;
                    let offered = read_tool(&mut tool)?;
                    if !deferred || found.contains(&offered.tool.name) {
                        offers.add(&each, offered)?;
                    }
                }
            }
        }
    }
    Ok((offers, left_out))
}

/// The type of a tool that is not the client's own.
fn foreign(tool: &mut Object<'_>) -> Result<Option<String>, ApiError> {
    let kind = tool.get("type").map(|kind| kind.string()).transpose()?;
    Ok(kind.filter(|kind| kind != "custom"))
}

fn read_tool(tool: &mut Object<'_>) -> Result<Offered, ApiError> {
    let name = function_name(tool)?;
    let description = tool.get("description").map(|text| text.string());
    let strict = flag(tool, "strict")?;
    let parameters = match tool.get("input_schema") {
        Some(field) if field.is_object() => {
            if strict {
                check_length(&field, LONGEST_SCHEMA)?;
            }
            Some(field.read()?)
        }
        Some(field) => return Err(field.refuse("must be a JSON schema, which is an object")),
        None => None,
    };
    Ok(Offered {
        tool: Tool {
            name,
            description: description.transpose()?,
            parameters,
        },
        strict,
        strict_path: tool.path_of("strict"),
        schema_path: tool.path_of("input_schema"),
    })
}

fn read_choice(
    object: &mut Object<'_>,
    offered: &[&str],
    left_out: &[String],
) -> Result<Choice, ApiError> {
    let Some(kind) = object.get("type") else {
        return Err(ApiError::field(&object.path_of("type"), "is missing"));
    };
    let (mode, only) = match kind.string()?.as_str() {
        "auto" => (Mode::Auto, None),
        "none" => (Mode::None, None),
        "any" => (Mode::Required, None),
        "tool" => (
            Mode::Required,
            Some(vec![named(object, offered, left_out)?]),
        ),
        other => {
            return Err(kind.refuse(format_args!(
                "{:?} is not known here; send \"auto\", \"any\", \"tool\" or \"none\"",
                excerpt(other)
            )));
        }
    };
    Ok(Choice {
        mode,
        only,
        path: None,
    })
}

fn named(
    object: &mut Object<'_>,
    offered: &[&str],
    left_out: &[String],
) -> Result<String, ApiError> {
    let Some(field) = object.get("name") else {
        return Err(ApiError::field(&object.path_of("name"), "is missing"));
    };
    let name = field.string()?;
    if offered.contains(&&*name) {
        return Ok(name);
    }
    Err(refuse_name(&field, &name, left_out.contains(&name)))
}

fn refuse_name(field: &Field<'_>, name: &str, left_out: bool) -> ApiError {
    let name = excerpt(name);
    field.refuse(match left_out {
        true => format!("{name:?} is a tool of Anthropic's servers, which this one does not run"),
        false => format!("no tool in `tools` is called {name:?}"),
    })
}
