//! Regular expressions as EBNF.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::ebnf;
use super::error::{InputError, MOST};

/// What a regular expression matches as a whole, as EBNF of what stands in a JSON string.
pub(super) fn grammar(pattern: &str) -> Result<String, InputError> {
    let parsed = ParserBuilder::new().nest_limit(64).build().parse(pattern);
    let hir = parsed.map_err(|error| InputError::Regex(reason(&error)))?;
    if size(&hir) > LARGEST {
        return Err(InputError::Repeats { most: LARGEST });
    }
    let mut out = String::new();
    write(without_ends(hir), &mut out)?;
    Ok(out)
}

/// The most characters of a regular expression whose repetitions are written out.
const LARGEST: u64 = 16_384;

/// The characters of an expression whose repetitions are written out.
fn size(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1));
            size(&repetition.sub).saturating_mul(times.into())
        }
        HirKind::Capture(capture) => size(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(size).fold(0, u64::saturating_add)
        }
    }
}

/// The last line says what is wrong, those before show where.
fn reason(error: &regex_syntax::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// The whole text is matched, so that the anchors at its ends say nothing.
fn without_ends(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Concat(mut parts) => {
            if matches!(
                parts.first().map(Hir::kind),
                Some(HirKind::Look(Look::Start))
            ) {
                parts.remove(0);
            }
            if matches!(parts.last().map(Hir::kind), Some(HirKind::Look(Look::End))) {
                parts.pop();
            }
            Hir::concat(parts)
        }
        HirKind::Look(Look::Start | Look::End) | HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(repetition) => Hir::repetition(repetition),
        HirKind::Capture(capture) => Hir::capture(capture),
        HirKind::Alternation(ways) => Hir::alternation(ways),
    }
}

fn write(hir: Hir, out: &mut String) -> Result<(), InputError> {
    if out.len() > MOST {
        return Err(InputError::Large { most: MOST });
    }
    match hir.into_kind() {
        HirKind::Empty => out.push_str("\"\""),
        HirKind::Literal(literal) => {
            let text = String::from_utf8_lossy(&literal.0);
            out.push_str(&ebnf::literal(&text));
        }
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges().iter();
            out.push_str(&ebnf::class(
                ranges.map(|range| (range.start(), range.end())),
            ));
        }
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class.ranges().iter();
            let ranges = ranges.map(|range| (range.start().into(), range.end().into()));
            out.push_str(&ebnf::class(ranges));
        }
        HirKind::Look(look) => return Err(InputError::Look(name(look))),
        HirKind::Repetition(repetition) => {
            out.push('(');
            write(*repetition.sub, out)?;
            out.push(')');
            out.push_str(&times(repetition.min, repetition.max));
        }
        HirKind::Capture(capture) => group([*capture.sub], " ", out)?,
        HirKind::Concat(parts) => group(parts, " ", out)?,
        HirKind::Alternation(ways) => group(ways, " | ", out)?,
    }
    Ok(())
}

fn group(
    parts: impl IntoIterator<Item = Hir>,
    between: &str,
    out: &mut String,
) -> Result<(), InputError> {
    out.push('(');
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            out.push_str(between);
        }
        write(part, out)?;
    }
    out.push(')');
    Ok(())
}

/// How often something stands.
pub(super) fn times(min: u32, max: Option<u32>) -> String {
    match (min, max) {
        (0, None) => "*".to_owned(),
        (1, None) => "+".to_owned(),
        (0, Some(1)) => "?".to_owned(),
        (min, None) => format!("{{{min},}}"),
        (min, Some(max)) => format!("{{{min},{max}}}"),
    }
}

fn name(look: Look) -> &'static str {
    match look {
        Look::Start | Look::End | Look::StartLF | Look::EndLF | Look::StartCRLF | Look::EndCRLF => {
            "an anchor inside"
        }
        _ => "a word boundary",
    }
}
