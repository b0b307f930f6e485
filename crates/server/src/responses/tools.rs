//! The tools of a request: functions, custom tools, namespaces of both, and those that this
//! server does not run.

use std::collections::HashMap;

use mxfp4_harmony::Tool;
use mxfp4_harmony::grammar::tool_input;
use serde_json::{Map, Value, json};

use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};
use crate::request::form::{LONGEST_SCHEMA, check_length};
use crate::request::sampling::flag;
use crate::request::{
    Choice, MOST_TOOLS, Mode, Offered, Offers, Reader, Tools, function_name, mode,
};

/// The longest regular expression or grammar of an input, in bytes.
const LONGEST_GRAMMAR: usize = 32 << 10;

/// Tools that only their maker's servers run.
const HOSTED: &[&str] = &[
    "web_search",
    "web_search_preview",
    "file_search",
    "code_interpreter",
    "image_generation",
    "mcp",
    "local_shell",
    "shell",
    "apply_patch",
    "tool_search",
    "computer",
    "computer_use_preview",
];

/// The tools of a request, and what the response says of them.
pub(super) struct ResponseTools {
    pub(super) tools: Tools,
    pub(super) names: Names,
    /// As the response repeats them, without those that are left out.
    pub(super) told: Vec<Value>,
    pub(super) choice: Value,
    /// Types of those that are left out.
    pub(super) left_out: Vec<String>,
}

/// What clients call the functions that the model calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(HashMap<String, Called>);

/// A tool, as its client calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    /// Whether its input is a text, and no object.
    pub(crate) is_custom: bool,
}

impl Names {
    /// What a client calls a function. The model may have left the namespace out; a function that
    /// was not offered has no other name.
    pub(crate) fn of(&self, function: &str) -> Called {
        let mut alike = self.0.values().filter(|called| called.name == function);
        let found = self
            .0
            .get(function)
            .or_else(|| match (alike.next(), alike.next()) {
                (Some(only), None) => Some(only),
                _ => None,
            });
        found.cloned().unwrap_or_else(|| Called {
            name: function.to_owned(),
            namespace: None,
            is_custom: false,
        })
    }
}

/// The name by which the model calls a function of a namespace.
pub(super) fn qualified(namespace: &str, name: &str) -> String {
    if namespace.ends_with("__") {
        format!("{namespace}{name}")
    } else {
        format!("{namespace}__{name}")
    }
}

/// Reads `tools` and `tool_choice`.
pub(super) fn read(body: &mut Object<'_>, reader: &Reader<'_>) -> Result<ResponseTools, ApiError> {
    let mut reading = Reading::default();
    if let Some(field) = body.get("tools") {
        for each in field.array(MOST_TOOLS)? {
            let told = reading.tool(&each, None)?;
            reading.told.extend(told);
        }
    }
    for kind in &reading.left_out {
        reader.unknown.tell_tool(kind);
    }
    let (choice, told) = match body.get("tool_choice") {
        Some(field) => (reading.choice(&field)?, field.read()?),
        None => (Choice::default(), json!("auto")),
    };
    let Reading {
        offers,
        names,
        told: tools,
        left_out,
    } = reading;
    Ok(ResponseTools {
        tools: Tools::new(offers, choice),
        names: Names(names),
        told: tools,
        choice: told,
        left_out,
    })
}

#[derive(Default)]
struct Reading {
    offers: Offers,
    names: HashMap<String, Called>,
    told: Vec<Value>,
    left_out: Vec<String>,
}

impl Reading {
    /// Reads a tool, and returns what the response says of it.
    fn tool(
        &mut self,
        field: &Field<'_>,
        namespace: Option<&str>,
    ) -> Result<Option<Value>, ApiError> {
        let mut tool = field.object()?;
        let Some(kind) = tool.get("type") else {
            return Err(ApiError::field(&tool.path_of("type"), "is missing"));
        };
        match kind.string()?.as_str() {
            "function" => self.function(field, &mut tool, namespace).map(Some),
            "custom" => self.custom(field, &mut tool, namespace).map(Some),
            "namespace" if namespace.is_none() => self.namespace(field, &mut tool).map(Some),
            hosted if HOSTED.contains(&unversioned(hosted)) => {
                if !self.left_out.iter().any(|kind| kind == hosted) {
                    self.left_out.push(hosted.to_owned());
                }
                Ok(None)
            }
            other => Err(kind.refuse(format_args!(
                "{:?} tools are not known here; send `function`, `custom` or `namespace`",
                excerpt(other)
            ))),
        }
    }

    fn function(
        &mut self,
        field: &Field<'_>,
        tool: &mut Object<'_>,
        namespace: Option<&str>,
    ) -> Result<Value, ApiError> {
        let name = function_name(tool)?;
        let strict = flag(tool, "strict")?;
        let parameters = match tool.get("parameters") {
            Some(field) if field.is_object() => {
                if strict {
                    check_length(&field, LONGEST_SCHEMA)?;
                }
                Some(field.read()?)
            }
            Some(field) => return Err(field.refuse("must be a JSON schema, which is an object")),
            None => None,
        };
        let offered = Offered {
            tool: Tool {
                name: String::new(),
                description: description(tool)?,
                parameters,
            },
            strict,
            strict_path: tool.path_of("strict"),
            schema_path: tool.path_of("parameters"),
        };
        self.offer(field, &name, namespace, false, offered)?;
        let mut told: Map<String, Value> = field.read()?;
        // What OpenAI's clients expect to be there.
        told.entry("parameters").or_insert(Value::Null);
        told.insert("strict".to_owned(), strict.into());
        Ok(told.into())
    }

    /// The model calls it as a function whose one argument is the input.
    fn custom(
        &mut self,
        field: &Field<'_>,
        tool: &mut Object<'_>,
        namespace: Option<&str>,
    ) -> Result<Value, ApiError> {
        let name = function_name(tool)?;
        let format = tool
            .get("format")
            .map(|field| read_format(&field))
            .transpose()?;
        let format = format.flatten();
        let mut description = description(tool)?.unwrap_or_default();
        if let Some(format) = &format {
            if !description.is_empty() {
                description.push('\n');
            }
            description.push_str(&format.told);
        }
        let offered = Offered {
            tool: Tool {
                name: String::new(),
                description: (!description.is_empty()).then_some(description),
                parameters: Some(json!({
                    "type": "object",
                    "properties": {"input": {"type": "string"}},
                    "required": ["input"],
                    "additionalProperties": false,
                })),
            },
            strict: format.is_some(),
            strict_path: tool.path_of("format"),
            schema_path: tool.path_of("format"),
        };
        let function = self.offer(field, &name, namespace, true, offered)?;
        if let Some(format) = format {
            self.offers.hold(&function, format.grammar);
        }
        field.read()
    }

    fn namespace(&mut self, field: &Field<'_>, tool: &mut Object<'_>) -> Result<Value, ApiError> {
        let name = function_name(tool)?;
        let Some(tools) = tool.get("tools") else {
            return Err(ApiError::field(&tool.path_of("tools"), "is missing"));
        };
        let mut told = Vec::new();
        for each in tools.array(MOST_TOOLS)? {
            told.extend(self.tool(&each, Some(&name))?);
        }
        let mut whole: Map<String, Value> = field.read()?;
        whole.entry("description").or_insert_with(|| "".into());
        whole.insert("tools".to_owned(), told.into());
        Ok(whole.into())
    }

    fn offer(
        &mut self,
        field: &Field<'_>,
        name: &str,
        namespace: Option<&str>,
        is_custom: bool,
        mut offered: Offered,
    ) -> Result<String, ApiError> {
        let function = match namespace {
            Some(space) => qualified(space, name),
            None => name.to_owned(),
        };
        let called = Called {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
            is_custom,
        };
        offered.tool.name.clone_from(&function);
        self.offers.add(field, offered)?;
        self.names.insert(function.clone(), called);
        Ok(function)
    }

    fn choice(&self, field: &Field<'_>) -> Result<Choice, ApiError> {
        let path = Some(field.path().to_owned());
        if field.is_string() {
            let mode = mode(field, true, "a tool")?;
            if mode == Mode::Required && self.names.is_empty() {
                return Err(
                    field.refuse("needs a function or a custom tool in `tools` to choose from")
                );
            }
            return Ok(Choice {
                mode,
                only: None,
                path,
            });
        }
        let mut object = field.object()?;
        if kind_of(&mut object)? != "allowed_tools" {
            return Ok(Choice {
                mode: Mode::Required,
                only: Some(vec![self.named(&mut object)?]),
                path,
            });
        }
        let mode = object
            .get("mode")
            .map_or(Ok(Mode::Auto), |field| mode(&field, false, "a tool"))?;
        let Some(tools) = object.get("tools") else {
            return Err(ApiError::field(&object.path_of("tools"), "is missing"));
        };
        let mut only = Vec::new();
        for each in tools.array(MOST_TOOLS)? {
            only.push(self.named(&mut each.object()?)?);
        }
        if only.is_empty() {
            return Err(tools.refuse("must have at least one tool"));
        }
        Ok(Choice {
            mode,
            only: Some(only),
            path,
        })
    }

    /// The function of `{"type", "name"}`, and `namespace` where it has one.
    fn named(&self, object: &mut Object<'_>) -> Result<String, ApiError> {
        let kind = kind_of(object)?;
        let is_custom = match kind.as_str() {
            "function" => false,
            "custom" => true,
            other => {
                let why = if HOSTED.contains(&unversioned(other)) {
                    "this server does not run it; choose a function or a custom tool"
                } else {
                    "is not known here; send `function`, `custom` or `allowed_tools`"
                };
                return Err(ApiError::field(
                    &object.path_of("type"),
                    format_args!("{:?}: {why}", excerpt(other)),
                ));
            }
        };
        let Some(field) = object.get("name") else {
            return Err(ApiError::field(&object.path_of("name"), "is missing"));
        };
        let name = field.string()?;
        let namespace = object
            .get("namespace")
            .map(|field| field.string())
            .transpose()?;
        let is_meant = |called: &Called| {
            called.name == name
                && called.is_custom == is_custom
                && (namespace.is_none() || namespace == called.namespace)
        };
        let mut found = self.names.iter().filter(|(_, called)| is_meant(called));
        match (found.next(), found.next()) {
            (Some((function, _)), None) => Ok(function.clone()),
            (Some(_), Some(_)) => Err(field.refuse(format_args!(
                "several namespaces have a tool {:?}; say which by `namespace`",
                excerpt(&name)
            ))),
            (None, _) => Err(field.refuse(format_args!(
                "no {kind} tool in `tools` is called {:?}",
                excerpt(&name)
            ))),
        }
    }
}

fn description(tool: &mut Object<'_>) -> Result<Option<String>, ApiError> {
    tool.get("description")
        .map(|text| text.string())
        .transpose()
}

fn kind_of(object: &mut Object<'_>) -> Result<String, ApiError> {
    match object.get("type") {
        Some(field) => field.string(),
        None => Err(ApiError::field(&object.path_of("type"), "is missing")),
    }
}

/// `web_search_2025_08_26` is `web_search`.
fn unversioned(kind: &str) -> &str {
    match kind.find("_20") {
        Some(at) => &kind[..at],
        None => kind,
    }
}

/// What a custom tool's input is held to.
struct Format {
    /// EBNF of the arguments.
    grammar: String,
    /// What the model is told of it.
    told: String,
}

/// Nothing comes of a format of free text.
fn read_format(field: &Field<'_>) -> Result<Option<Format>, ApiError> {
    let mut format = field.object()?;
    match kind_of(&mut format)?.as_str() {
        "text" => return Ok(None),
        "grammar" => {}
        other => {
            return Err(ApiError::field(
                &format.path_of("type"),
                format_args!(
                    "{:?} is not known here; send \"text\" or \"grammar\"",
                    excerpt(other)
                ),
            ));
        }
    }
    let Some(definition) = format.get("definition") else {
        return Err(ApiError::field(&format.path_of("definition"), "is missing"));
    };
    check_length(&definition, LONGEST_GRAMMAR)?;
    let Some(syntax) = format.get("syntax") else {
        return Err(ApiError::field(&format.path_of("syntax"), "is missing"));
    };
    let text = definition.string()?;
    let (grammar, what) = match syntax.string()?.as_str() {
        "regex" => (tool_input::of_regex(&text, "input"), "regular expression"),
        "lark" => (
            tool_input::of_lark(&text, "input"),
            "grammar in lark's syntax",
        ),
        other => {
            return Err(syntax.refuse(format_args!(
                "{:?} is not known here; send \"regex\" or \"lark\"",
                excerpt(other)
            )));
        }
    };
    Ok(Some(Format {
        grammar: grammar.map_err(|error| definition.refuse(error))?,
        told: format!("The input is of this {what}:\n{text}"),
    }))
}
