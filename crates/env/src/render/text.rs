//! Values as text, where a format wants text.

use std::ffi::OsStr;

use crate::Error;

/// `value` as text, which is all that `language` can express.
pub fn text<'a>(name: &str, value: &'a OsStr, language: &str) -> Result<&'a str, Error> {
    value
        .to_str()
        .ok_or_else(|| refusal(name, value, "bytes that are not UTF-8", language))
}

pub fn refusal(name: &str, value: &OsStr, what: &str, language: &str) -> Error {
    Error::Value(format!(
        "the value of {name} has {what}, which {language} cannot express: {value:?}; use another \
         --shell, or rename the folder or change the variable that it comes from"
    ))
}
