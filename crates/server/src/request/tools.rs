//! The functions that a request offers, and whether the model may call them.

use std::collections::HashSet;

use mxfp4_harmony::Tool;

use super::messages::function_name;
use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};

/// The most functions.
const MOST_TOOLS: usize = 1024;

/// Reads `tools` and `tool_choice`: the functions that the model is told of.
pub(super) fn read(body: &mut Object<'_>) -> Result<Vec<Tool>, ApiError> {
    let mut tools = Vec::new();
    if let Some(field) = body.get("tools") {
        let mut names = HashSet::new();
        for each in field.array(MOST_TOOLS)? {
            let tool = read_tool(&each)?;
            if !names.insert(tool.name.clone()) {
                return Err(each.refuse(format_args!("another tool is called {:?}", tool.name)));
            }
            tools.push(tool);
        }
    }
    if may_call(body)? {
        return Ok(tools);
    }
    Ok(Vec::new())
}

fn read_tool(field: &Field<'_>) -> Result<Tool, ApiError> {
    let mut tool = field.object()?;
    if let Some(kind) = tool.get("type") {
        let name = kind.string()?;
        if name != "function" {
            return Err(kind.refuse(format_args!(
                "{:?} tools are not known here; send `function`",
                excerpt(&name)
            )));
        }
    }
    let Some(function) = tool.get("function") else {
        return Err(ApiError::field(&tool.path_of("function"), "is missing"));
    };
    let mut function = function.object()?;
    let name = function_name(&mut function)?;
    let description = function
        .get("description")
        .map(|text| text.string())
        .transpose()?;
    let parameters = match function.get("parameters") {
        Some(field) if field.is_object() => Some(field.read()?),
        Some(field) => return Err(field.refuse("must be a JSON schema, which is an object")),
        None => None,
    };
    Ok(Tool {
        name,
        description,
        parameters,
    })
}

/// Whether the model may call functions. It cannot be forced to.
fn may_call(body: &mut Object<'_>) -> Result<bool, ApiError> {
    let mut may = true;
    // The second is the former name.
    for key in ["tool_choice", "function_call"] {
        let Some(field) = body.get(key) else {
            continue;
        };
        let choice = if field.is_string() {
            field.string()?
        } else {
            String::new()
        };
        match choice.as_str() {
            "auto" => {}
            "none" => may = false,
            _ => {
                return Err(field.refuse(
                    "this server cannot force or restrict calls yet; send \"auto\" or \"none\"",
                ));
            }
        }
    }
    Ok(may)
}
