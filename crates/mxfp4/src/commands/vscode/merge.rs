//! What is wanted of a JSON value, whatever else it holds.

use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstObjectProp};

/// What is wanted of a value.
#[derive(Clone, Debug)]
pub enum Merge {
    /// To be exactly this.
    Exactly(CstInputValue),
    /// To be there, and this where it is not.
    Something(CstInputValue),
    /// A list that has each of these texts in it.
    Among(Vec<String>),
    /// The same, but for those that the list beside it, of this key, has in it.
    AmongUnless(&'static str, Vec<String>),
    /// A list that has these texts in it, one after the other.
    Sequence(Vec<String>),
    /// A list of `NAME=VALUE` that sets each of these variables once.
    Variables(Vec<Variable>),
    /// An object with these.
    Object(Vec<(String, Self)>),
    /// A list of objects, each known by its value of this key.
    Entries(&'static str, Vec<(String, Vec<(String, Self)>)>),
}

/// A variable that is to be set.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What separates the entries of its value.
    pub separator: char,
    /// The entries. A value that has others between or after them is as good: they are the user's.
    pub entries: Vec<String>,
}

impl Variable {
    fn assignment(&self) -> String {
        let value = self.entries.join(&self.separator.to_string());
        format!("{}={value}", self.name)
    }

    /// Whether `NAME=VALUE` sets it as it is to be.
    fn is_set_by(&self, assignment: &str) -> bool {
        let value = assignment.split_once('=').map_or("", |(_, value)| value);
        let mut there = value.split(self.separator);
        self.entries.iter().all(|wanted| {
            // An entry may hold the separator itself, as `${env:NAME}` does.
            wanted
                .split(self.separator)
                .all(|part| there.any(|entry| entry == part))
        })
    }
}

/// A value that is of another kind than it must be: its place, and the kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where, as `configurations[0].env`.
    pub place: String,
    /// What should be there.
    pub expected: &'static str,
}

impl Merge {
    /// `object` gets what is wanted. What it has already is not touched.
    pub fn apply(wanted: &[(String, Self)], object: &CstObject, place: &str) -> Result<(), Misfit> {
        for (key, want) in wanted {
            let place = match place {
                "" => key.clone(),
                place => format!("{place}.{key}"),
            };
            match property(object, key) {
                None => {
                    want.spread(&object.append(key, want.value()));
                }
                Some(property) => want.apply_to(&property, object, &place)?,
            }
        }
        Ok(())
    }

    fn apply_to(
        &self,
        property: &CstObjectProp,
        object: &CstObject,
        place: &str,
    ) -> Result<(), Misfit> {
        match self {
            Self::Something(_) => {}
            Self::Exactly(value) => {
                let now = property.value().and_then(|value| value.to_serde_value());
                if now.as_ref() != Some(&to_serde(value)) {
                    property.set_value(value.clone());
                }
            }
            Self::Object(wanted) => {
                let object = property.object_value();
                let object = object.ok_or_else(|| misfit(place, "an object"))?;
                Self::apply(wanted, &object, place)?;
            }
            Self::Among(wanted) => {
                let list = list(property, place)?;
                append(&list, wanted, &[]);
            }
            Self::AmongUnless(key, wanted) => {
                let unwanted = self::property(object, key)
                    .and_then(|unwanted| unwanted.array_value())
                    .map_or_else(Vec::new, |unwanted| texts(&unwanted));
                let list = list(property, place)?;
                append(&list, wanted, &unwanted);
            }
            Self::Sequence(wanted) => {
                let list = list(property, place)?;
                let now: Vec<Option<String>> = list.elements().iter().map(text).collect();
                let is_there = now.windows(wanted.len().max(1)).any(|window| {
                    window
                        .iter()
                        .map(Option::as_ref)
                        .eq(wanted.iter().map(Some))
                });
                if !is_there {
                    for (at, text) in wanted.iter().enumerate() {
                        list.insert(at, text.as_str().into());
                    }
                }
            }
            Self::Variables(wanted) => {
                let list = list(property, place)?;
                for variable in wanted {
                    set_variable(&list, variable);
                }
            }
            Self::Entries(key, entries) => {
                let list = list(property, place)?;
                for (id, wanted) in entries {
                    let known = |element: &CstNode| {
                        let id_now = property_text(&element.as_object()?, key)?;
                        (id_now == *id).then_some(())
                    };
                    let elements = list.elements();
                    match elements.iter().position(|element| known(element).is_some()) {
                        Some(at) => {
                            let place = format!("{place}[{at}]");
                            let object = elements[at].as_object();
                            let object = object.ok_or_else(|| misfit(&place, "an object"))?;
                            Self::apply(wanted, &object, &place)?;
                        }
                        None => {
                            let made = list.append(entry(key, id, wanted));
                            spread(wanted, made.as_object());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives each variable of what was just made a line of its own.
    fn spread(&self, made: &CstObjectProp) {
        match self {
            Self::Variables(_) => {
                if let Some(list) = made.array_value() {
                    list.ensure_multiline();
                }
            }
            Self::Object(wanted) => spread(wanted, made.object_value()),
            Self::Entries(_, entries) => {
                let elements = made.array_value().map(|list| list.elements());
                for (element, (_, wanted)) in elements.into_iter().flatten().zip(entries) {
                    spread(wanted, element.as_object());
                }
            }
            Self::Exactly(_)
            | Self::Something(_)
            | Self::Among(_)
            | Self::AmongUnless(..)
            | Self::Sequence(_) => {}
        }
    }

    /// What is put where there is nothing.
    fn value(&self) -> CstInputValue {
        match self {
            Self::Exactly(value) | Self::Something(value) => value.clone(),
            Self::Among(texts) | Self::AmongUnless(_, texts) | Self::Sequence(texts) => {
                texts.clone().into()
            }
            Self::Variables(variables) => {
                let set = variables.iter().map(Variable::assignment);
                set.collect::<Vec<_>>().into()
            }
            Self::Object(wanted) => object(wanted),
            Self::Entries(key, entries) => CstInputValue::Array(
                entries
                    .iter()
                    .map(|(id, wanted)| entry(key, id, wanted))
                    .collect(),
            ),
        }
    }
}

/// The same for what is wanted of an object.
fn spread(wanted: &[(String, Merge)], object: Option<CstObject>) {
    for (key, want) in wanted {
        if let Some(property) = object.as_ref().and_then(|object| property(object, key)) {
            want.spread(&property);
        }
    }
}

fn object(wanted: &[(String, Merge)]) -> CstInputValue {
    let values = wanted.iter().map(|(key, want)| (key.clone(), want.value()));
    CstInputValue::Object(values.collect())
}

fn entry(key: &str, id: &str, wanted: &[(String, Merge)]) -> CstInputValue {
    let mut values = vec![(key.to_owned(), id.into())];
    values.extend(wanted.iter().map(|(key, want)| (key.clone(), want.value())));
    CstInputValue::Object(values)
}

/// Of several properties of one name the last counts, for VS Code too.
fn property(object: &CstObject, name: &str) -> Option<CstObjectProp> {
    let mut properties = object.properties().into_iter().rev();
    properties.find(|property| property.decoded_name().as_deref() == Some(name))
}

fn property_text(object: &CstObject, name: &str) -> Option<String> {
    text(&property(object, name)?.value()?)
}

fn text(node: &CstNode) -> Option<String> {
    node.as_string_lit()?.decoded_value().ok()
}

fn texts(list: &CstArray) -> Vec<String> {
    list.elements().iter().filter_map(text).collect()
}

/// Appends those of `wanted` that neither list has.
fn append(list: &CstArray, wanted: &[String], unwanted: &[String]) {
    for text in wanted {
        if !texts(list).contains(text) && !unwanted.contains(text) {
            list.append(text.as_str().into());
        }
    }
}

fn list(property: &CstObjectProp, place: &str) -> Result<CstArray, Misfit> {
    property
        .array_value()
        .ok_or_else(|| misfit(place, "a list"))
}

fn misfit(place: &str, expected: &'static str) -> Misfit {
    Misfit {
        place: place.into(),
        expected,
    }
}

/// Sets a variable where it is set already, and before the user's own otherwise.
fn set_variable(list: &CstArray, variable: &Variable) {
    let mut is_set = false;
    for element in list.elements() {
        let Some(now) = text(&element) else { continue };
        if now.split('=').next() != Some(&variable.name) {
            continue;
        }
        match element.as_string_lit() {
            // The last one would win: there is to be one.
            Some(again) if is_set => again.remove(),
            Some(literal) if !variable.is_set_by(&now) => {
                literal.replace_with(variable.assignment().into());
            }
            _ => {}
        }
        is_set = true;
    }
    if !is_set {
        list.insert(0, variable.assignment().into());
    }
}

/// The value as it would be read back.
fn to_serde(value: &CstInputValue) -> serde_json::Value {
    match value {
        CstInputValue::Null => serde_json::Value::Null,
        CstInputValue::Bool(value) => (*value).into(),
        CstInputValue::Number(text) => serde_json::from_str(text).unwrap_or_default(),
        CstInputValue::String(text) => text.as_str().into(),
        CstInputValue::Array(values) => values.iter().map(to_serde).collect(),
        CstInputValue::Object(values) => values
            .iter()
            .map(|(key, value)| (key.clone(), to_serde(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
