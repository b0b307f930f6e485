//! A JSON object whose members are asked for by name.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object's members, as they stand in the text. Of several with one name the
/// last counts, as in Python's and JavaScript's parsers.
pub(crate) struct Object<'a> {
    path: String,
    members: Vec<Member<'a>>,
}

struct Member<'a> {
    key: Cow<'a, str>,
    value: &'a RawValue,
    asked: bool,
}

impl<'a> Object<'a> {
    pub(super) fn parse(path: String, text: &'a str) -> Result<Self, serde_json::Error> {
        let Members(members) = serde_json::from_str(text)?;
        Ok(Self { path, members })
    }

    /// The path of a member, there or not.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The text of the member of that name. `null` is not there.
    pub(super) fn find(&mut self, key: &str) -> Option<&'a str> {
        let mut found = None;
        for member in self.members.iter_mut().filter(|member| member.key == key) {
            member.asked = true;
            found = Some(member.value);
        }
        Some(found?.get()).filter(|text| *text != "null")
    }

    /// Marks members as known that change nothing here.
    pub(crate) fn ignore(&mut self, keys: &[&str]) {
        for member in &mut self.members {
            member.asked |= keys.contains(&&*member.key);
        }
    }

    /// Paths of members that nobody asked for.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = String> {
        self.members
            .iter()
            .filter(|member| !member.asked)
            .map(|member| self.path_of(&member.key))
    }
}

struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Vec<Member<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    members.push(Member {
                        key,
                        value: map.next_value()?,
                        asked: false,
                    });
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Walk).map(Members)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
