//! `truncation: "auto"`: the oldest turns of a conversation that is too long are left out.

use mxfp4_harmony::{Conversation, Harmony, Turn};

/// The prompt of a conversation that leaves room for an answer; of the whole conversation where
/// even its last turn is too long. Instructions at the beginning stay.
pub(super) fn render(harmony: &Harmony, conversation: &mut Conversation, most: usize) -> Vec<u32> {
    let tokens = harmony.render(conversation);
    if tokens.len() <= most {
        return tokens;
    }
    let turns = std::mem::take(&mut conversation.turns);
    let is_instruction = |turn: &&Turn| matches!(turn, Turn::Developer(_));
    let first = turns.iter().take_while(is_instruction).count();
    let without = |count: usize| Conversation {
        turns: left(&turns, first, count),
        ..conversation.clone()
    };
    let (mut too_few, mut enough) = (0, turns.len().saturating_sub(first + 1));
    if harmony.render(&without(enough)).len() > most {
        conversation.turns = turns;
        return tokens;
    }
    while enough - too_few > 1 {
        let middle = too_few.midpoint(enough);
        match harmony.render(&without(middle)).len() <= most {
            true => enough = middle,
            false => too_few = middle,
        }
    }
    *conversation = without(enough);
    harmony.render(conversation)
}

/// All turns but so many behind the first ones, and what functions returned that were called in
/// those.
fn left(turns: &[Turn], first: usize, without: usize) -> Vec<Turn> {
    let (instructions, rest) = turns.split_at(first);
    let rest = &rest[without.min(rest.len())..];
    let is_result = |turn: &&Turn| matches!(turn, Turn::ToolResult { .. });
    let orphans = match without {
        0 => 0,
        _ => rest.iter().take_while(is_result).count(),
    };
    [instructions, &rest[orphans..]].concat()
}
