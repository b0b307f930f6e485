//! The names in a `.env` file.

/// The names that the lines of `text` set, as python-dotenv reads them. A line inside a quoted value counts as one too.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, _) = line.split_once('=')?;
        let name = name.trim().trim_matches('\'');
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        (!name.is_empty() && name.bytes().all(is_name)).then_some(name)
    })
}
