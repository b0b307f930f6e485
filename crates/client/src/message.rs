/// The message of an error object, in the forms that servers give it.
pub fn message(data: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(data).ok()?;
    let error = value.get("error").unwrap_or(&value);
    let message = error.get("message").unwrap_or(error).as_str()?;
    Some(message.lines().next()?.to_owned())
}
