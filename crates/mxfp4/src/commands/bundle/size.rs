use std::str::FromStr;

/// A number of bytes, as `split` reads it: `60M` is 60 times 1024 times 1024, `60MB` 60 million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// Parts that are smaller are too many.
const LEAST: u64 = 1_000_000;

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match &text[digits.len()..] {
            "" => 1,
            "K" | "KiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err("is no size: the unit is one of K, M, G, KB, MB and GB"),
        };
        let number: u64 = digits
            .parse()
            .map_err(|_| "is no size: a whole number and a unit, such as 60M")?;
        match number.checked_mul(unit) {
            Some(bytes) if bytes >= LEAST => Ok(Self(bytes)),
            Some(_) => Err("is too small: a part has 1MB or more"),
            None => Err("is too large"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("60M", 60 << 20),
            ("60MiB", 60 << 20),
            ("60MB", 60_000_000),
            ("2G", 2 << 30),
            ("1000000", 1_000_000),
            ("977K", 1_000_448),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for (text, why) in [
            ("", "whole number"),
            ("M", "whole number"),
            ("-1M", "whole number"),
            ("1.5G", "whole number"),
            ("60T", "unit"),
            ("60m", "unit"),
            ("6\u{e9}0M", "whole number"),
            ("999999", "too small"),
            ("99999999999G", "too large"),
            ("99999999999999999999", "whole number"),
        ] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
