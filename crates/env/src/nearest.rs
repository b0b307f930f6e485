//! What somebody may have meant by a name that is unknown.

/// The candidate that `word` is most likely a misspelling of, if it resembles one at all: a third of its letters may
/// be wrong, missing, too many or in another order.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            let letters = word.chars().count().max(candidate.chars().count());
            *distance <= letters.div_ceil(3) && *distance < letters
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_resembles_it_most_or_nothing() {
        let keys = ["model", "host", "port", "devices", "custom-architectures"];
        for (word, expected) in [
            ("prot", Some("port")),
            ("hots", Some("host")),
            ("custom_architecture", Some("custom-architectures")),
            ("device", Some("devices")),
            ("telemetry", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        assert_eq!(nearest("a", []), None);
    }
}
