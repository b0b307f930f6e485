"""Sets the greedy tokens of two servers beside each other, for `mxfp4.parity`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mxfp4.parity_sample import Sample


@dataclass(frozen=True)
class Parting:
    """Where two answers to one prompt part."""

    prompt: int
    """Which prompt it was."""

    position: int
    """How many of the generated tokens are the same."""

    tokens: tuple[int, int]

    gap: float
    """How much likelier the first server held its token than the other's."""


def partings(
    these: Sequence[Sample],
    those: Sequence[Sample],
    ids: Callable[[], Mapping[str, list[int]]],
) -> list[Parting]:
    """Returns where answers part.

    Args:
        these: Answers with log-probabilities.
        those: Answers to the same prompts.
        ids: Tells the tokens that each text may stand for.
    """
    found = []
    for prompt, (one, other) in enumerate(zip(these, those, strict=True)):
        if one.prompt != other.prompt:
            raise ValueError(f"prompt {prompt} differs, so the answers say nothing")
        if len(one.tokens) != len(other.tokens):
            raise ValueError(
                f"prompt {prompt} has answers of {len(one.tokens)} and "
                f"{len(other.tokens)} tokens: ask both servers for as many"
            )
        for position, pair in enumerate(zip(one.tokens, other.tokens, strict=True)):
            if pair[0] != pair[1]:
                gap = _gap(one, position, pair[1], ids())
                found.append(Parting(prompt, position, pair, gap))
                break
    return found


def _gap(
    sample: Sample, position: int, token: int, ids: Mapping[str, list[int]]
) -> float:
    """Returns by how much a token is less likely than the likeliest."""
    if not sample.top_logprobs:
        raise ValueError("the first answers have no log-probabilities to judge ties by")
    top = sample.top_logprobs[position]
    here = [value for text, value in top.items() if token in ids.get(text, ())]
    # What is not among the likeliest is no tie with the first of them.
    gap = max(top.values()) - max(here) if here else float("inf")
    return gap if gap == gap else float("inf")


def report(
    these: Sequence[Sample],
    those: Sequence[Sample],
    ids: Callable[[], Mapping[str, list[int]]],
    tie: float,
    margins: Callable[[list[list[int]]], list[float]] | None = None,
    margin: float = 0.0,
) -> bool:
    """Prints how answers compare, by the prompts' lengths, and tells whether they
    part at ties alone.

    Args:
        these: Answers with log-probabilities.
        those: Answers to the same prompts.
        ids: Tells the tokens that each text may stand for.
        tie: By how much two tokens differ at most that tie.
        margins: Tells for tokens by how little a router preferred an expert at any of
            them. Without it routers are not looked at.
        margin: Where it is less, a router all but ties.
    """
    found = {parting.prompt: parting for parting in partings(these, those, ids)}
    lengths: dict[int, list[int]] = {}
    for prompt, sample in enumerate(these):
        lengths.setdefault(len(sample.prompt), []).append(prompt)
    untied = [parting for parting in found.values() if not parting.gap <= tie]
    wrong = untied
    if margins is not None and untied:
        seen = [
            these[each.prompt].prompt + these[each.prompt].tokens[: each.position]
            for each in untied
        ]
        pairs = zip(untied, margins(seen), strict=True)
        wrong = [parting for parting, least in pairs if not least < margin]
    for length, prompts in sorted(lengths.items()):
        apart, free, here = (
            [parting for parting in kind if parting.prompt in prompts]
            for kind in (found.values(), untied, wrong)
        )
        at_routers = (
            f"{len(free) - len(here)} where a router all but does (within {margin:g}), "
            if margins is not None
            else ""
        )
        same = sum(
            found[prompt].position if prompt in found else len(these[prompt].tokens)
            for prompt in prompts
        )
        print(
            f"{len(prompts)} prompts of {length} tokens: {same} tokens alike, "
            f"{len(prompts) - len(apart)} answers to their end; "
            f"{len(apart) - len(free)} part where two tokens tie (within {tie:g}), "
            f"{at_routers}{len(here)} where none do"
        )
        for parting in here:
            print(
                f"  prompt {parting.prompt}, after {parting.position} tokens: "
                f"{parting.tokens[0]} and {parting.tokens[1]}, "
                f"apart by {parting.gap:.3f}"
            )
    return not wrong
