"""Holds a request with a grammar to what the grammar cannot well say.

**A budget of thinking.** Analysis and preambles may come before what was asked for. In
xgrammar a bounded repetition of tokens makes a mask cost 50 times as much, so they are
counted here. A message that `<|end|>` may end is such thinking, as what was asked
for is ended by end tokens of the answer alone. When the budget is used up, thinking can
only end, and no other can begin. The budget comes as an entry of the grammar's own
object, which xgrammar leaves out.

**An end of whitespace.** JSON may have any number of spaces and line breaks between its
tokens, and a model that has begun with them may never end. Bounded by xgrammar, they
make a compiled grammar larger by 3.5 MB for each property of an object. So outside of
thinking a row of tokens that are whitespace alone is ended here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from max.pipelines.context.exceptions import InputError
from max.pipelines.lib.pipeline_variants.structured_output_backend import (
    XgrammarBackend,
    XgrammarMatcher,
)

from mxfp4.max_patches.patch import Patches

NAME = "thinking_token_budget"
"""The entry's name."""

BUDGET = re.compile(r'\{"' + NAME + r'": (\d{1,9}), ')
"""How a grammar with a budget begins."""

MARKS = "_mxfp4_marks"
"""Where a backend has what it needs of the vocabulary."""

BLANKS = 32
"""Tokens of whitespace alone that may follow one another outside of thinking."""

BLANK = frozenset(" \t\n\rĠĊĉč")
"""Whitespace, also as vocabularies of bytes write it."""

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
    """Tokens of harmony's messages, and those of whitespace."""

    def __init__(
        self, end: int, message: int, analysis: Sequence[int], blanks: Sequence[int]
    ) -> None:
        self.end = end
        self.message = message
        self.analysis = list(analysis)
        """Those that the channel's name can begin with."""
        self.blanks = frozenset(blanks)

    @classmethod
    def of(cls, tokenizer: Any) -> Marks | None:
        """Returns a vocabulary's, or None where it has not harmony's."""
        known = tokenizer.get_vocab()
        end, message = known.get("<|end|>"), known.get("<|message|>")
        if end is None or message is None:
            return None
        parts = [ANALYSIS[: at + 1] for at in range(len(ANALYSIS))]
        return cls(
            end,
            message,
            [known[part] for part in parts if part in known],
            [token for name, token in known.items() if name and BLANK.issuperset(name)],
        )


class BoundedMatcher(XgrammarMatcher):
    """A matcher that counts tokens of thinking and of whitespace."""

    def __init__(self, matcher: Any, budget: int | None, marks: Marks) -> None:
        super().__init__(matcher)
        self.left = budget
        """Tokens of thinking that may come; None for any number."""
        self._marks = marks
        self._is_thinking = False
        self._blanks = 0

    def try_consume_tokens(self, tokens: list[int]) -> int:
        consumed: int = super().try_consume_tokens(tokens)
        marks = self._marks
        for token in tokens[:consumed]:
            self._blanks = self._blanks + 1 if token in marks.blanks else 0
            if self.left is not None and self._is_thinking:
                self.left -= token != marks.end
        return consumed

    def deep_copy(self) -> BoundedMatcher:
        copy = BoundedMatcher(self._matcher.fork(), self.left, self._marks)
        copy._is_thinking = self._is_thinking
        copy._blanks = self._blanks
        return copy

    def narrow(self, row: npt.NDArray[np.int32]) -> None:
        """Takes from the tokens that the grammar allows what the bounds do not."""
        marks = self._marks
        self._is_thinking = _allows(row, marks.end)
        if self.left is not None and self.left <= 0:
            if self._is_thinking:
                row[:] = 0
                word, bit = divmod(marks.end, BITS)
                row[word] = _bit(bit)
            # A message of the commentary without a recipient, which calls have.
            elif _allows(row, marks.message):
                _forbid(row, [marks.message])
            else:
                _forbid(row, marks.analysis)
        if self._blanks >= BLANKS and not self._is_thinking:
            _forbid(row, marks.blanks)


def _bit(bit: int) -> np.int32:
    return np.uint32(1 << bit).view(np.int32)  # type: ignore[no-any-return]


def _allows(row: npt.NDArray[np.int32], token: int) -> bool:
    word, bit = divmod(token, BITS)
    return bool(row[word] & _bit(bit))


def _forbid(row: npt.NDArray[np.int32], tokens: Collection[int]) -> None:
    """Does so where the grammar allows others, too."""
    before = [(token // BITS, row[token // BITS]) for token in tokens]
    for token in tokens:
        word, bit = divmod(token, BITS)
        row[word] &= ~_bit(bit)
    if not row.any():
        for word, value in before:
            row[word] = value


PATCHES = Patches()


@PATCHES.replace(XgrammarBackend, "from_tokenizer_delegate", "a96e1490fcd9d079")
def _from_tokenizer_delegate(build: Any) -> Any:
    def from_tokenizer_delegate(
        cls: Any, tokenizer_delegate: Any, *args: Any, **kwargs: Any
    ) -> Any:
        backend = build(cls, tokenizer_delegate, *args, **kwargs)
        setattr(backend, MARKS, Marks.of(tokenizer_delegate))
        return backend

    return from_tokenizer_delegate


@PATCHES.replace(XgrammarBackend, "create_matcher", "67fd9bd225b0093b")
def _create_matcher(create: Any) -> Any:
    def create_matcher(self: Any, grammar: Any) -> Any:
        if not isinstance(grammar, str):
            return create(self, grammar)
        grammar, budget = without_budget(grammar)
        matcher: Any = create(self, grammar)
        marks = getattr(self, MARKS, None)
        if marks is None and budget is None:
            return matcher
        if marks is None:
            raise InputError(
                f"{NAME} needs a vocabulary with <|end|> and <|message|>, and the "
                "model's has them not"
            )
        return BoundedMatcher(matcher._matcher, budget, marks)

    return create_matcher


@PATCHES.replace(XgrammarBackend, "fill_next_token_bitmask", "9bcc01d642505ace")
def _fill_next_token_bitmask(fill: Any) -> Any:
    def fill_next_token_bitmask(
        self: Any, matcher: Any, bitmask: npt.NDArray[np.int32], index: int
    ) -> None:
        fill(self, matcher, bitmask, index)
        if type(matcher) is BoundedMatcher:
            matcher.narrow(bitmask[index])

    return fill_next_token_bitmask
