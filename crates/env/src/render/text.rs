//! Values as text, where a format wants text.

use std::ffi::OsStr;

use crate::Error;

/// `value` as text, which is all that `language` can express.
pub fn text<'a>(name: &str, value: &'a OsStr, language: &str) -> Result<&'a str, Error> {
    value
        .to_str()
        .ok_or_else(|| refusal(name, value, "bytes that are not UTF-8", language))
}

/// `value` has something in it that `language` cannot express.
pub fn refusal(name: &str, value: &OsStr, what: &str, language: &str) -> Error {
    Error::Value {
        name: name.to_owned(),
        value: value.to_owned(),
        what: what.to_owned(),
        language: language.to_owned(),
    }
}
