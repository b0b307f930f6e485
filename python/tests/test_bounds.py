"""Bounds beside a grammar, followed through xgrammar's own matcher."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from max.pipelines.context.exceptions import InputError
from max.pipelines.lib.pipeline_variants.structured_output_backend import (
    XgrammarBackend,
    make_grammar_backend,
)

from mxfp4.max_patches import bounds, registry
from test_grammars import ENDS, letters

Form = dict[str, Any]


def text(value: str) -> Form:
    return {"type": "const_string", "value": value}


def sequence(*elements: Form) -> Form:
    return {"type": "sequence", "elements": list(elements)}


def either(*elements: Form) -> Form:
    return {"type": "or", "elements": list(elements)}


class Harmony:
    """Grammars of answers in harmony, in a small vocabulary."""

    def __init__(self) -> None:
        self.tokenizer = letters()
        known = self.tokenizer.get_vocab()
        self.special = {name: at for name, at in known.items() if name[:2] == "<|"}
        self.ends = {known[name] for name in ENDS}
        self.backend: Any = make_grammar_backend(
            "xgrammar",
            self.tokenizer,
            len(self.tokenizer),
            stop_token_ids=sorted(self.ends),
        )

    def token(self, name: str) -> Form:
        return {"type": "token", "token": self.special[name]}

    def message(self, header: Form, content: Form) -> Form:
        channel, message = self.token("<|channel|>"), self.token("<|message|>")
        return sequence(channel, header, message, content)

    def answer(self, *asked: Form) -> str:
        """Analysis and preambles in any number, and one of what is asked."""
        anything = {
            "type": "any_tokens",
            "exclude_tokens": sorted(self.special.values()),
        }
        over = (self.token("<|end|>"), self.token("<|start|>"), text("assistant"))
        channels = either(text("analysis"), text("commentary"))
        thought = sequence(self.message(channels, anything), *over)
        thoughts = {"type": "star", "content": thought}
        return json.dumps(
            {
                "type": "structural_tag",
                "format": sequence(thoughts, either(*asked)),
            }
        )

    def call(self) -> Form:
        """A call in both orders, with and without the type of its content."""
        boolean = {"type": "json_schema", "json_schema": {"type": "boolean"}}
        to, commentary = text(" to=functions.f"), text("commentary")
        typed = {"type": "optional", "content": text(" json")}
        message = self.token("<|message|>")
        channel = self.token("<|channel|>")
        header = either(
            sequence(to, channel, commentary), sequence(channel, commentary, to)
        )
        return sequence(header, typed, message, boolean)

    def final(self) -> Form:
        boolean = {"type": "json_schema", "json_schema": {"type": "boolean"}}
        return self.message(text("final"), boolean)


@pytest.fixture(scope="module")
def harmony() -> Harmony:
    assert registry.apply("bounds").kind is registry.Kind.APPLIES
    return Harmony()


def walk(harmony: Harmony, grammar: str, draw: random.Random, most: int) -> list[int]:
    """Draws tokens until the answer's end; returns them."""
    matcher = harmony.backend.create_matcher(grammar)
    drawn: list[int] = []
    while len(drawn) < most:
        row = harmony.backend.allocate_token_bitmask(1, len(harmony.tokenizer))
        harmony.backend.fill_next_token_bitmask(matcher, row, 0)
        bits = np.unpackbits(row.view(np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits[: len(harmony.tokenizer)])
        assert allowed.size, harmony.tokenizer.decode(drawn)
        token = int(draw.choice(allowed))
        drawn.append(token)
        if token in harmony.ends:
            return drawn
        assert matcher.try_consume_tokens([token]) == 1
    raise AssertionError(f"no end: {harmony.tokenizer.decode(drawn)!r}")


@pytest.mark.parametrize("budget", [0, 1, 7, 64])
def test_what_was_asked_for_follows_a_spent_budget(
    harmony: Harmony, budget: int
) -> None:
    grammar = harmony.answer(harmony.call(), harmony.final())
    draw = random.Random(budget)
    marks = harmony.special
    for _ in range(40):
        drawn = walk(
            harmony, bounds.with_budget(grammar, budget), draw, 400 + 40 * budget
        )
        said = harmony.tokenizer.decode(drawn)
        parts = said.split("<|start|>assistant")
        for part in parts[:-1]:
            assert part.endswith("<|end|>"), said
        assert "<|end|>" not in parts[-1]
        assert any(value in parts[-1] for value in ("true", "false")), said
        thought = 0
        is_thought = False
        for at, token in enumerate(drawn):
            if token == marks["<|message|>"]:
                is_thought = marks["<|end|>"] in drawn[at:]
            elif token == marks["<|end|>"]:
                is_thought = False
            elif is_thought:
                thought += 1
        assert thought <= budget, said


def test_a_budget_is_not_kept_to_where_there_is_none(harmony: Harmony) -> None:
    grammar = harmony.answer(harmony.final())
    plain = harmony.backend.create_matcher(grammar)
    assert plain.left is None
    row = harmony.backend.allocate_token_bitmask(1, len(harmony.tokenizer))
    begun = "<|channel|>analysis<|message|>" + "a" * 300
    for token in harmony.tokenizer.encode(begun):
        harmony.backend.fill_next_token_bitmask(plain, row, 0)
        assert plain.try_consume_tokens([token]) == 1
    assert np.unpackbits(row.view(np.uint8)).sum() > 200


def test_a_copy_has_its_own_count(harmony: Harmony) -> None:
    grammar = bounds.with_budget(harmony.answer(harmony.final()), 5)
    matcher = harmony.backend.create_matcher(grammar)
    row = harmony.backend.allocate_token_bitmask(1, len(harmony.tokenizer))
    begun = "<|channel|>analysis<|message|>ab"
    for token in harmony.tokenizer.encode(begun):
        harmony.backend.fill_next_token_bitmask(matcher, row, 0)
        assert matcher.try_consume_tokens([token]) == 1
    copy = matcher.deep_copy()
    assert (matcher.left, copy.left) == (3, 3)
    [letter] = harmony.tokenizer.encode("c")
    assert copy.try_consume_tokens([letter]) == 1
    assert (matcher.left, copy.left) == (3, 2)


@pytest.mark.parametrize("grammar", ['{"a": 1}', ' {"a": 1}', '{"a": {"b": "c"}}'])
def test_a_budget_goes_with_the_grammar(grammar: str) -> None:
    carried = bounds.with_budget(grammar, 12)
    assert json.loads(carried) == {"thinking_token_budget": 12} | json.loads(grammar)
    plain, budget = bounds.without_budget(carried)
    assert (json.loads(plain), budget) == (json.loads(grammar), 12)
    assert bounds.without_budget(grammar) == (grammar, None)


def test_a_vocabulary_without_harmony_has_no_budgets(harmony: Harmony) -> None:
    backend = XgrammarBackend(harmony.backend._compiler)
    grammar = harmony.answer(harmony.final())
    backend.create_matcher(grammar)
    with pytest.raises(InputError, match="needs a vocabulary with"):
        backend.create_matcher(bounds.with_budget(grammar, 1))


def test_whitespace_comes_to_an_end(harmony: Harmony) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": schema, "any_whitespace": True}
    grammar = harmony.answer(harmony.message(text("final"), form))
    matcher = harmony.backend.create_matcher(grammar)
    encode = harmony.tokenizer.encode
    [space], [brace], [quote] = encode(" "), encode("{"), encode('"')

    def follow(tokens: list[int]) -> set[int]:
        """What may come behind these, which all may come."""
        allowed = set[int]()
        for token in [*tokens, None]:
            row = harmony.backend.allocate_token_bitmask(1, len(harmony.tokenizer))
            harmony.backend.fill_next_token_bitmask(matcher, row, 0)
            bits = np.unpackbits(row.view(np.uint8), bitorder="little")
            allowed = set(np.flatnonzero(bits))
            if token is not None:
                assert token in allowed
                assert matcher.try_consume_tokens([token]) == 1
        return allowed

    # Thinking may have as much as it likes.
    begun = "<|channel|>analysis<|message|>" + " " * 100 + "<|end|><|start|>assistant"
    follow(encode(begun + "<|channel|>final<|message|>"))
    assert space in follow([brace, *[space] * (bounds.BLANKS - 1)])
    assert follow([space]) == {quote}
    # Whatever else comes, it may begin anew.
    assert space in follow([*encode('"a"'), *[space] * 3])
