//! One value that a client sent, with its place.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::object::Object;
use crate::api_error::ApiError;

/// A value that is not `null`, as it stands in the text.
pub(crate) struct Field<'a> {
    path: String,
    text: &'a str,
}

impl<'a> Field<'a> {
    pub(super) fn new(path: String, text: &'a str) -> Self {
        Self { path, text }
    }

    /// A JSON text that is no client's body.
    pub(crate) fn of(path: &str, text: &'a str) -> Self {
        Self::new(path.to_owned(), text)
    }

    /// A whole body.
    pub(crate) fn body(text: &'a str) -> Result<Object<'a>, ApiError> {
        let place = |error: serde_json::Error| {
            let what = if error.is_data() {
                "the body is JSON, but no object".to_owned()
            } else {
                format!("the body is no JSON: {error}")
            };
            ApiError::invalid(what)
        };
        Object::parse(String::new(), text).map_err(place)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A 400 that names this field.
    pub(crate) fn refuse(&self, why: impl std::fmt::Display) -> ApiError {
        ApiError::field(&self.path, why)
    }

    fn expected(&self, what: &str) -> ApiError {
        self.refuse(format_args!("must be {what}, but is {}", self.kind()))
    }

    fn kind(&self) -> &'static str {
        match self.text.as_bytes().first() {
            Some(b'"') => "a string",
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    pub(crate) fn is_string(&self) -> bool {
        self.text.starts_with('"')
    }

    pub(crate) fn is_array(&self) -> bool {
        self.text.starts_with('[')
    }

    pub(crate) fn is_object(&self) -> bool {
        self.text.starts_with('{')
    }

    pub(crate) fn is_number(&self) -> bool {
        self.kind() == "a number"
    }

    /// The value as it stands in the text.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    pub(crate) fn string(&self) -> Result<String, ApiError> {
        if !self.is_string() {
            return Err(self.expected("a string"));
        }
        self.read()
    }

    pub(crate) fn boolean(&self) -> Result<bool, ApiError> {
        match self.text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.expected("true or false")),
        }
    }

    /// An integer, which may be written as `1.0` or `1e3`.
    pub(crate) fn integer(&self, range: RangeInclusive<i128>) -> Result<i128, ApiError> {
        if !self.is_number() {
            return Err(self.expected("an integer"));
        }
        let number = self.text.parse::<i128>().ok().or_else(|| {
            let number = self.text.parse::<f64>().ok()?;
            // Beyond 2^64 the range says what is wrong.
            (number.fract() == 0.0).then_some(number as i128)
        });
        match number {
            Some(number) if range.contains(&number) => Ok(number),
            Some(_) => Err(self.refuse(format_args!(
                "must be an integer from {} to {}, but is {}",
                range.start(),
                range.end(),
                shown(self.text)
            ))),
            None => Err(self.refuse(format_args!(
                "must be an integer, but is {}",
                shown(self.text)
            ))),
        }
    }

    pub(crate) fn number(&self, range: RangeInclusive<f64>) -> Result<f32, ApiError> {
        if !self.is_number() {
            return Err(self.expected("a number"));
        }
        match self.text.parse::<f64>() {
            Ok(number) if range.contains(&number) => Ok(number as f32),
            _ => Err(self.refuse(format_args!(
                "must be a number from {} to {}, but is {}",
                range.start(),
                range.end(),
                shown(self.text)
            ))),
        }
    }

    pub(crate) fn object(&self) -> Result<Object<'a>, ApiError> {
        if !self.is_object() {
            return Err(self.expected("an object"));
        }
        Object::parse(self.path.clone(), self.text).map_err(|error| self.refuse(error))
    }

    /// The elements, each with its path. `null` stays an element.
    pub(crate) fn array(&self, most: usize) -> Result<Vec<Field<'a>>, ApiError> {
        let elements: Bounded<&RawValue> = self.elements(most, "an array")?;
        let field = |(index, value): (usize, &'a RawValue)| {
            Field::new(format!("{}[{index}]", self.path), value.get())
        };
        Ok(elements.0.into_iter().enumerate().map(field).collect())
    }

    /// Token ids.
    pub(crate) fn tokens(&self, most: usize) -> Result<Vec<u32>, ApiError> {
        let ids: Bounded<TokenId> = self.elements(most, "an array of token ids")?;
        Ok(ids.0.into_iter().map(|TokenId(id)| id).collect())
    }

    fn elements<T: Deserialize<'a>>(
        &self,
        most: usize,
        what: &str,
    ) -> Result<Bounded<T>, ApiError> {
        if !self.is_array() {
            return Err(self.expected(what));
        }
        let mut deserializer = serde_json::Deserializer::from_str(self.text);
        let visit = Elements {
            most,
            element: std::marker::PhantomData,
        };
        deserializer
            .deserialize_seq(visit)
            .map_err(|error| self.refuse(without_place(&error)))
    }

    /// Anything, built whole: for small things, and for what is passed on.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_str(self.text).map_err(|error| self.refuse(without_place(&error)))
    }
}

/// The place inside a field would be taken for that in the body.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// A number as it was written, shortened.
fn shown(text: &str) -> &str {
    &text[..text.len().min(32)]
}

struct Bounded<T>(Vec<T>);

struct Elements<T> {
    most: usize,
    element: std::marker::PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
    type Value = Bounded<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            if elements.len() == self.most {
                let most = self.most;
                return Err(A::Error::custom(format_args!(
                    "must have at most {most} elements"
                )));
            }
            elements.push(element);
        }
        Ok(Bounded(elements))
    }
}

struct TokenId(u32);

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = u32;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a token id")
            }

            fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<u32, E> {
                u32::try_from(id).map_err(|_| E::custom(format_args!("{id} is no token id")))
            }

            fn visit_i64<E: serde::de::Error>(self, id: i64) -> Result<u32, E> {
                Err(E::custom(format_args!("{id} is no token id")))
            }

            fn visit_f64<E: serde::de::Error>(self, id: f64) -> Result<u32, E> {
                if id.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&id) {
                    return Ok(id as u32);
                }
                Err(E::custom(format_args!("{id} is no token id")))
            }
        }
        deserializer.deserialize_any(Id).map(TokenId)
    }
}

impl<'a> Object<'a> {
    /// The member of that name. `null` is not there.
    pub(crate) fn get(&mut self, key: &str) -> Option<Field<'a>> {
        let text = self.find(key)?;
        Some(Field::new(self.path_of(key), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> Field<'_> {
        Field::new("f".into(), text)
    }

    fn message<T>(result: Result<T, ApiError>) -> String {
        result
            .err()
            .map(|error| error.message().to_owned())
            .unwrap()
    }

    #[test]
    fn integers_may_be_written_as_floats() {
        assert_eq!(field("1.0").integer(0..=9).ok(), Some(1));
        assert_eq!(field("1e3").integer(0..=1000).ok(), Some(1000));
        assert_eq!(field("-0").integer(0..=9).ok(), Some(0));
        assert_eq!(
            message(field("1.5").integer(0..=9)),
            "`f`: must be an integer, but is 1.5"
        );
        assert_eq!(
            message(field("1e400").integer(0..=9)),
            "`f`: must be an integer, but is 1e400"
        );
        assert_eq!(
            message(field("99999999999999999999999999999999999999999").integer(0..=9)),
            "`f`: must be an integer from 0 to 9, but is 99999999999999999999999999999999"
        );
        assert_eq!(
            message(field("\"1\"").integer(0..=9)),
            "`f`: must be an integer, but is a string"
        );
    }

    #[test]
    fn numbers_are_finite_and_in_range() {
        assert_eq!(field("0.5").number(0.0..=2.0).ok(), Some(0.5));
        assert_eq!(
            message(field("1e999").number(0.0..=2.0)),
            "`f`: must be a number from 0 to 2, but is 1e999"
        );
        assert_eq!(
            message(field("true").number(0.0..=2.0)),
            "`f`: must be a number, but is a boolean"
        );
    }

    #[test]
    fn arrays_are_bounded_and_name_their_elements() {
        let elements = field("[1, null]").array(2).ok().unwrap();
        assert_eq!(elements[1].path(), "f[1]");
        assert_eq!(elements[1].text(), "null");
        assert_eq!(
            message(field("[1,2,3]").array(2)),
            "`f`: must have at most 2 elements"
        );
        assert_eq!(field("[1, 2.0]").tokens(2).ok(), Some(vec![1, 2]));
        assert_eq!(message(field("[-1]").tokens(2)), "`f`: -1 is no token id");
        assert_eq!(
            message(field("[\"a\"]").tokens(2)),
            "`f`: invalid type: string \"a\", expected a token id"
        );
    }

    #[test]
    fn members_are_found_by_name_and_the_last_counts() {
        let mut object = Field::body(r#"{"a": 1, "b": null, "a": 2, "c": {"d": []}}"#)
            .ok()
            .unwrap();
        assert_eq!(object.get("a").unwrap().text(), "2");
        assert!(object.get("b").is_none());
        let mut inner = object.get("c").unwrap().object().ok().unwrap();
        assert_eq!(inner.get("d").unwrap().path(), "c.d");
        assert_eq!(object.unknown().count(), 0);
    }

    #[test]
    fn deep_nesting_ends_no_process() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let body = format!("{{\"x\": {deep}, \"y\": {deep}}}");
        let mut object = Field::body(&body).ok().unwrap();
        let field = object.get("x").unwrap();
        assert_eq!(
            message(field.read::<serde_json::Value>()),
            "`x`: recursion limit exceeded"
        );
        assert_eq!(object.unknown().collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn a_body_that_is_no_object_is_refused_with_its_place() {
        assert_eq!(
            message(Field::body("[]")),
            "the body is JSON, but no object"
        );
        assert_eq!(
            message(Field::body("{\"a\": nan}")),
            "the body is no JSON: expected ident at line 1 column 8"
        );
        assert_eq!(
            message(Field::body("")),
            "the body is no JSON: EOF while parsing a value at line 1 column 0"
        );
    }
}
