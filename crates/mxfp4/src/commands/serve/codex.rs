//! How Codex is told of a server.

/// Two lines for a shell that start Codex with this model of a server, `key` being the variable that has its key where it
/// wants one.
pub fn lines(model: &str, url: &str, key: Option<&str>) -> String {
    let key = key.map_or(String::new(), |name| format!(",env_key=\"{name}\""));
    let model = model.replace('\'', r"'\''");
    format!(
        "codex -m '{model}' -c model_provider=mxfp4 \\\n  \
         -c 'model_providers.mxfp4={{name=\"mxfp4\",base_url=\"{url}/v1\",wire_api=\"responses\"{key}}}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codex_is_told_of_the_server_and_its_key() {
        assert_eq!(
            lines("openai/gpt-oss-20b", "http://127.0.0.1:8000", None),
            "codex -m 'openai/gpt-oss-20b' -c model_provider=mxfp4 \\\n  \
             -c 'model_providers.mxfp4={name=\"mxfp4\",base_url=\"http://127.0.0.1:8000/v1\",wire_api=\"responses\"}'"
        );
        let with_key = lines("it's", "https://h:1", Some("MXFP4_API_KEY"));
        assert!(with_key.starts_with(r"codex -m 'it'\''s' "), "{with_key}");
        assert!(
            with_key.ends_with(",env_key=\"MXFP4_API_KEY\"}'"),
            "{with_key}"
        );
    }
}
