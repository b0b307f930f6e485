//! The functions that a request offers, and which of them the model may or has to call.

use std::collections::{HashMap, HashSet};

use mxfp4_harmony::Tool;
use mxfp4_harmony::grammar::{Arguments, Calls, Limits, Schema};

use super::form::{LONGEST_SCHEMA, check_length, refuse};
use super::messages::function_name;
use super::sampling::flag;
use super::tool_choice::{Choice, Mode};
use crate::api_error::{ApiError, excerpt};
use crate::json::{Field, Object};

/// The most functions.
pub(crate) const MOST_TOOLS: usize = 1024;

/// The functions of a request.
#[derive(Debug)]
pub(crate) struct Tools {
    offered: Vec<Offered>,
    /// What arguments are held to instead of a schema, by function.
    grammars: HashMap<String, String>,
    pub(super) choice: Choice,
}

/// A function that a request offers.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) tool: Tool,
    /// Whether its arguments have to be of its schema.
    pub(crate) strict: bool,
    /// The paths of `strict` and of the schema.
    pub(crate) strict_path: String,
    pub(crate) schema_path: String,
}

/// Functions that are offered, each with a name of its own.
#[derive(Default)]
pub(crate) struct Offers {
    names: HashSet<String>,
    offered: Vec<Offered>,
    grammars: HashMap<String, String>,
}

impl Offers {
    /// Adds the function that a field offers.
    pub(crate) fn add(&mut self, field: &Field<'_>, offered: Offered) -> Result<(), ApiError> {
        let name = &offered.tool.name;
        if !self.names.insert(name.clone()) {
            return Err(field.refuse(format_args!("another tool is called {name:?}")));
        }
        self.offered.push(offered);
        Ok(())
    }

    /// Holds the arguments of a function to a grammar in EBNF, instead of to its schema.
    pub(crate) fn hold(&mut self, name: &str, grammar: String) {
        self.grammars.insert(name.to_owned(), grammar);
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let names = self.offered.iter().map(|each| &*each.tool.name);
        names.collect()
    }
}

impl Tools {
    /// Reads `tools` and `tool_choice`.
    pub(super) fn read(body: &mut Object<'_>) -> Result<Self, ApiError> {
        let mut offers = Offers::default();
        if let Some(field) = body.get("tools") {
            for each in field.array(MOST_TOOLS)? {
                offers.add(&each, read_tool(&each)?)?;
            }
        }
        let choice = Choice::read(body, &offers.names())?;
        Ok(Self::new(offers, choice))
    }

    /// The model is told of none that it may not call at all.
    pub(crate) fn new(offers: Offers, choice: Choice) -> Self {
        let offered = match choice.mode {
            Mode::None => Vec::new(),
            Mode::Auto | Mode::Required => offers.offered,
        };
        Self {
            offered,
            grammars: offers.grammars,
            choice,
        }
    }

    /// What the model is told of.
    pub(crate) fn told(&self) -> Vec<Tool> {
        self.offered.iter().map(|each| each.tool.clone()).collect()
    }

    /// The names of those that it may call.
    pub(crate) fn names(&self) -> Vec<String> {
        self.allowed().map(|each| each.tool.name.clone()).collect()
    }

    fn allowed(&self) -> impl Iterator<Item = &Offered> {
        let may_call = |each: &&Offered| self.choice.allows(&each.tool.name);
        self.offered.iter().filter(may_call)
    }

    /// The path of the field for which calls have to be held to a form.
    pub(super) fn forced_by(&self) -> Option<String> {
        if self.choice.mode == Mode::Required || self.choice.is_restricted() {
            return self.choice.path.clone();
        }
        let strict = self.allowed().find(|each| each.strict);
        strict.map(|each| each.strict_path.clone())
    }

    /// The calls that may come, and their arguments.
    pub(super) fn calls(
        &self,
        several: bool,
        limits: &mut Limits,
    ) -> Result<Option<Calls>, ApiError> {
        let forced = self.choice.mode == Mode::Required;
        let mut functions = Vec::new();
        for each in self.allowed() {
            let name = each.tool.name.clone();
            let arguments = match self.grammars.get(&name) {
                Some(grammar) => Arguments::Ebnf(grammar.clone()),
                None => each.arguments(forced, limits)?.into(),
            };
            functions.push((name, arguments));
        }
        Ok((!functions.is_empty()).then_some(Calls { functions, several }))
    }
}

impl Offered {
    /// What the arguments are held to. Those of a function that is not strict are, where a call
    /// is `forced` and the schema can be enforced: what the model writes then is made up
    /// anyway.
    fn arguments(&self, forced: bool, limits: &mut Limits) -> Result<Schema, ApiError> {
        if !self.strict && !forced {
            return Ok(Schema::any_object());
        }
        let Some(parameters) = &self.tool.parameters else {
            return Ok(Schema::empty_object());
        };
        let path = &self.schema_path;
        let mut left = limits.clone();
        let schema = match Schema::read(parameters, &mut left) {
            Ok(schema) => schema.object(),
            Err(_) if !self.strict => return Ok(Schema::any_object()),
            Err(error) => return Err(refuse(path, &error)),
        };
        *limits = left;
        match schema {
            Some(schema) => Ok(schema),
            None if !self.strict => Ok(Schema::any_object()),
            None => Err(ApiError::field(path, "no object is of this schema")),
        }
    }
}

fn read_tool(field: &Field<'_>) -> Result<Offered, ApiError> {
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
    let Some(field) = tool.get("function") else {
        return Err(ApiError::field(&tool.path_of("function"), "is missing"));
    };
    let mut function = field.object()?;
    let name = function_name(&mut function)?;
    let description = function
        .get("description")
        .map(|text| text.string())
        .transpose()?;
    // Former clients named it beside the function.
    let strict = flag(&mut function, "strict")? | flag(&mut tool, "strict")?;
    let parameters = match function.get("parameters") {
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
            description,
            parameters,
        },
        strict,
        strict_path: function.path_of("strict"),
        schema_path: function.path_of("parameters"),
    })
}
