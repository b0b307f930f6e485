"""Holds a request with a grammar to a budget of thinking.

A grammar says that analysis and preambles may come before what was asked for, and
cannot well say how much of it: in xgrammar a bounded repetition of tokens makes a mask
cost 50 times as much. Here the tokens are counted. A message that `<|end|>` may end is
such thinking, as what was asked for is ended by end tokens of the answer alone. When
the budget is used up, thinking can only end, and no other can begin.

The budget comes as an entry of the grammar's own object, which xgrammar leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from max.pipelines.context.exceptions import InputError
from max.pipelines.lib.pipeline_variants.structured_output_backend import (
    XgrammarBackend,
    XgrammarMatcher,
)

NAME = "thinking_token_budget"
"""The entry's name."""

BUDGET = re.compile(r'\{"' + NAME + r'": (\d{1,9}), ')
"""How a grammar with a budget begins."""

MARKS = "_mxfp4_marks"
"""Where a backend has what it needs of the vocabulary."""

ANALYSIS = "analysis"

BITS = 32
"""Tokens of a word of a mask."""


def with_budget(grammar: str, budget: int) -> str:
    """Returns a grammar, the JSON of an object, with a budget."""
    body = grammar.lstrip().removeprefix("{")
    return f'{{"{NAME}": {budget}, {body}'


def without_budget(grammar: str) -> tuple[str, int | None]:
    """Returns a grammar without its budget, and that."""
    found = BUDGET.match(grammar)
    if found is None:
        return grammar, None
    return "{" + grammar[found.end() :], int(found[1])


class Marks:
    """Tokens of harmony's messages."""

    def __init__(self, end: int, message: int, analysis: Sequence[int]) -> None:
        self.end = end
        self.message = message
        self.analysis = list(analysis)
        """Those that the channel's name can begin with."""

    @classmethod
    def of(cls, tokenizer: Any) -> Marks | None:
        """Returns a vocabulary's, or None where it has not harmony's."""
        known = tokenizer.get_vocab()
        end, message = known.get("<|end|>"), known.get("<|message|>")
        if end is None or message is None:
            return None
        parts = [ANALYSIS[: at + 1] for at in range(len(ANALYSIS))]
        return cls(end, message, [known[part] for part in parts if part in known])


class BudgetedMatcher(XgrammarMatcher):
    """A matcher that counts the tokens of thinking."""

    def __init__(self, matcher: Any, budget: int, marks: Marks) -> None:
        super().__init__(matcher)
        self.left = budget
        self._marks = marks
        self._is_thinking = False

    def try_consume_tokens(self, tokens: list[int]) -> int:
        consumed: int = super().try_consume_tokens(tokens)
        if self._is_thinking:
            self.left -= sum(token != self._marks.end for token in tokens[:consumed])
        return consumed

    def deep_copy(self) -> BudgetedMatcher:
        copy = BudgetedMatcher(self._matcher.fork(), self.left, self._marks)
        copy._is_thinking = self._is_thinking
        return copy

    def narrow(self, row: npt.NDArray[np.int32]) -> None:
        """Takes from the tokens that the grammar allows what the budget does not."""
        marks = self._marks
        self._is_thinking = _allows(row, marks.end)
        if self.left > 0:
            return
        if self._is_thinking:
            row[:] = 0
            word, bit = divmod(marks.end, BITS)
            row[word] = _bit(bit)
        # A message of the commentary without a recipient, which calls have.
        elif _allows(row, marks.message):
            _forbid(row, [marks.message])
        else:
            _forbid(row, marks.analysis)


def _bit(bit: int) -> np.int32:
    return np.uint32(1 << bit).view(np.int32)  # type: ignore[no-any-return]


def _allows(row: npt.NDArray[np.int32], token: int) -> bool:
    word, bit = divmod(token, BITS)
    return bool(row[word] & _bit(bit))


def _forbid(row: npt.NDArray[np.int32], tokens: Sequence[int]) -> None:
    """Does so where the grammar allows others, too."""
    before = [(token // BITS, row[token // BITS]) for token in tokens]
    for token in tokens:
        word, bit = divmod(token, BITS)
        row[word] &= ~_bit(bit)
    if not row.any():
        for word, value in before:
            row[word] = value


def is_installed() -> bool:
    """Says whether budgets are kept in this process, and in the model's worker."""
    return XgrammarBackend.create_matcher.__module__ == __name__


def install() -> None:
    """Has MAX's grammars keep to their budgets from now on."""
    if is_installed():
        return
    build = XgrammarBackend.from_tokenizer_delegate.__func__  # type: ignore[attr-defined]
    create = XgrammarBackend.create_matcher
    fill = XgrammarBackend.fill_next_token_bitmask

    def from_tokenizer_delegate(
        cls: Any, tokenizer_delegate: Any, *args: Any, **kwargs: Any
    ) -> Any:
        backend = build(cls, tokenizer_delegate, *args, **kwargs)
        setattr(backend, MARKS, Marks.of(tokenizer_delegate))
        return backend

    def create_matcher(self: Any, grammar: Any) -> Any:
        if not isinstance(grammar, str):
            return create(self, grammar)
        grammar, budget = without_budget(grammar)
        matcher: Any = create(self, grammar)
        if budget is None:
            return matcher
        marks = getattr(self, MARKS, None)
        if marks is None:
            raise InputError(
                f"{NAME} needs a vocabulary with <|end|> and <|message|>, and the "
                "model's has them not"
            )
        return BudgetedMatcher(matcher._matcher, budget, marks)

    def fill_next_token_bitmask(
        self: Any, matcher: Any, bitmask: npt.NDArray[np.int32], index: int
    ) -> None:
        fill(self, matcher, bitmask, index)
        if type(matcher) is BudgetedMatcher:
            matcher.narrow(bitmask[index])

    backend: Any = XgrammarBackend
    backend.from_tokenizer_delegate = classmethod(from_tokenizer_delegate)
    backend.create_matcher = create_matcher
    backend.fill_next_token_bitmask = fill_next_token_bitmask
