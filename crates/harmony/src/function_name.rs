//! Which names a function may have.

/// The longest name of a function, in characters.
const LONGEST: usize = 64;

/// Whether a function may have this name: `[a-zA-Z0-9_-]{1,64}`, as OpenAI's API has it.
pub fn is_function_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_ascii() {
        for name in ["f", "get_weather", "mcp-9", &"x".repeat(64)] {
            assert!(is_function_name(name), "{name}");
        }
        for name in ["", "a.b", "a b", "é", "a\n", "<|end|>", &"x".repeat(65)] {
            assert!(!is_function_name(name), "{name:?}");
        }
    }
}
