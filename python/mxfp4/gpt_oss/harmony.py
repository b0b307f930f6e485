"""Tells reasoning from answer in what GPT-OSS writes.

The model writes messages in OpenAI's harmony format: a header, a body, an end.

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>

A body on the `analysis` channel is reasoning. Any other is the answer, one with a
recipient (`to=functions.NAME`, a tool call) too, and that from its recipient on, so
that its name is not lost. Framing and other headers are dropped, but for the tokens
around a call's body: `SEPARATOR` stands for them, so that `tool_calls` can tell a call
from an answer that reads like one.

Models get the format wrong now and then. Whatever they write, every token is
reasoning, answer or dropped, and the answer goes on: a header that is none, or does
not end, is read as answer.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

from max.pipelines.lib.reasoning import register
from max.pipelines.lib.tokenizer import convert_token_to_id
from max.pipelines.modeling.types import (
    ParsedReasoningDelta,
    PipelineTokenizer,
    ReasoningParser,
    ReasoningSpan,
)

NAME = "mxfp4_harmony"
"""What `--reasoning-parser` calls it; the architecture's default."""

SEPARATOR = "\x1f"
"""Stands in the answer before and after the body of a call. The unit separator is
white space that shows nowhere, one token in every byte-level vocabulary, and not
allowed in JSON but as an escape."""

T = TypeVar("T")

LONGEST_HEADER = 48
"""Tokens after which a header that has not ended is taken for none. Tools have long
names, but not that long."""

ROLE = "assistant"
"""Who the model writes as."""

_BEFORE_CHANNEL = re.compile(rf"({ROLE})?(\s+(t|to|to=\S*))?\s*")
_AFTER_CHANNEL = re.compile(r"\s*([a-z]*)(\s+(t|to|to=\S*))?(\s+[a-z]*)?\s*")
"""What a header may be as far as it is known: a channel, a recipient, a format."""
_RECIPIENT = re.compile(r"\bto=(\S*)")


class _State(enum.Enum):
    ROLE = enum.auto()
    CHANNEL = enum.auto()
    REASONING = enum.auto()
    ANSWER = enum.auto()


class _Route(enum.Enum):
    DROP = enum.auto()
    REASONING = enum.auto()
    ANSWER = enum.auto()
    SEPARATOR = enum.auto()


class _Routes(ReasoningSpan):
    """Where each token of a delta goes; what belongs to a token goes along."""

    def __init__(self, routes: list[_Route], separator: int | None) -> None:
        super().__init__((0, 0), (0, 0))
        self._routes = routes
        self._separator = separator

    def extract_content(self, seq: Sequence[T]) -> list[T]:
        content: list[Any] = []
        for item, route in zip(seq, self._routes, strict=True):
            if route is _Route.ANSWER:
                content.append(item)
            elif route is _Route.SEPARATOR and isinstance(item, Integral):
                # Among tokens alone: the log-probabilities come here too.
                content.append(self._separator)
        return content

    def extract_reasoning(self, seq: Sequence[T]) -> list[T]:
        pairs = zip(seq, self._routes, strict=True)
        return [item for item, route in pairs if route is _Route.REASONING]


_IN_BODY = {
    state: ParsedReasoningDelta(
        span=_Routes([route], None), is_still_reasoning=state is not _State.ANSWER
    )
    for state, route in (
        (_State.ANSWER, _Route.ANSWER),
        (_State.REASONING, _Route.REASONING),
    )
}
"""What is said of one token of a body."""


_KNOWN: WeakKeyDictionary[Any, tuple[dict[str, int], int | None]] = WeakKeyDictionary()
"""What was looked up in a tokenizer."""


@register(NAME)
class HarmonyParser(ReasoningParser):
    """Follows one response, a delta at a time.

    Without the format's tokens (`tokens` lacks them: another tokenizer) everything
    is answer.
    """

    REASONING_START: ClassVar[str] = "<|channel|>analysis<|message|>"
    REASONING_END: ClassVar[str] = "<|end|>"

    ENDS: ClassVar[tuple[str, ...]] = ("<|end|>", "<|return|>", "<|call|>")
    FRAMING: ClassVar[tuple[str, ...]] = (
        "<|start|>",
        "<|channel|>",
        "<|message|>",
        "<|constrain|>",
        *ENDS,
    )

    ENDS_OF_BODY: ClassVar[tuple[str, ...]] = (*ENDS, "<|start|>", "<|channel|>")
    """A body without an end of its own ends where the next header begins."""

    def __init__(
        self,
        tokens: dict[str, int],
        decode: Callable[[Sequence[int]], str],
        separator: int | None = None,
    ) -> None:
        self._framing = {token: name for name, token in tokens.items()}
        self._start = tokens.get("<|start|>")
        self._decode = decode
        self._separator = separator
        self.reset()

    def reset(self) -> None:
        """Forgets the response before."""
        self._state = _State.ANSWER
        self._prefix = ""
        self._header: list[int] = []
        self._has_recipient = False
        self._in_call = False
        self._is_new = True

    def stream(
        self, delta_token_ids: Sequence[int], is_currently_reasoning: bool = True
    ) -> ParsedReasoningDelta:
        """Routes the tokens of a delta.

        `is_currently_reasoning` counts for the first delta alone, and says that the
        prompt ended in the header's beginning.
        """
        if len(delta_token_ids) == 1 and not self._is_new:
            # Nearly always a token of a body, which changes nothing.
            in_body = _IN_BODY.get(self._state)
            if in_body is not None and delta_token_ids[0] not in self._framing:
                return in_body
        if self._is_new and is_currently_reasoning and self._start is not None:
            self._begin_header(ROLE)
        self._is_new = False
        routes = [self._route(token) for token in delta_token_ids]
        return ParsedReasoningDelta(
            span=_Routes(routes, self._separator),
            is_still_reasoning=self._state is not _State.ANSWER,
        )

    def will_reason_after_prompt(self, prompt_token_ids: Sequence[int]) -> bool:
        """Whether the prompt ends in `<|start|>assistant`, as the template has it."""
        tail = list(prompt_token_ids[-2:])
        return len(tail) == 2 and tail[0] == self._start

    def _begin_header(self, prefix: str = "") -> None:
        self._state = _State.ROLE
        self._prefix = prefix
        self._header = []
        self._has_recipient = False

    def _route(self, token: int) -> _Route:
        name = self._framing.get(token)
        in_header = self._state in (_State.ROLE, _State.CHANNEL)
        if name is None:
            return self._header_route(token) if in_header else self._body_route()
        if name == "<|start|>":
            self._begin_header()
        elif name == "<|channel|>":
            if not in_header:
                self._begin_header()
            self._state = _State.CHANNEL
            self._prefix = ""
            self._header = []
        elif name == "<|message|>" and in_header:
            self._open_body()
            if self._has_recipient:
                self._in_call = True
                return self._around_call()
        elif name in self.ENDS:
            # What follows without a header of its own is answer.
            self._state = _State.ANSWER
        if self._in_call and name in self.ENDS_OF_BODY:
            self._in_call = False
            return self._around_call()
        return _Route.DROP

    def _around_call(self) -> _Route:
        return _Route.DROP if self._separator is None else _Route.SEPARATOR

    def _body_route(self) -> _Route:
        is_answer = self._state is _State.ANSWER
        return _Route.ANSWER if is_answer else _Route.REASONING

    def _header_route(self, token: int) -> _Route:
        self._header.append(token)
        text = self._prefix + self._decode(self._header)
        is_header = len(self._header) <= LONGEST_HEADER and (
            _AFTER_CHANNEL.fullmatch(text)
            if self._state is _State.CHANNEL
            else _BEFORE_CHANNEL.fullmatch(text) or ROLE.startswith(text)
        )
        if not is_header:
            # The body began without `<|message|>`, or this never was a message.
            self._open_body()
            return self._body_route()
        recipient = _RECIPIENT.search(text)
        self._has_recipient |= recipient is not None
        is_name = recipient and recipient[1] and recipient.end() == len(text)
        return _Route.ANSWER if is_name else _Route.DROP

    def _open_body(self) -> None:
        text = self._decode(self._header)
        channel = _AFTER_CHANNEL.match(text)
        reasons = (
            self._state is _State.CHANNEL
            and channel is not None
            and channel[1] == "analysis"
            and not self._has_recipient
        )
        self._state = _State.REASONING if reasons else _State.ANSWER

    @classmethod
    async def from_tokenizer(
        cls, tokenizer: PipelineTokenizer[Any, Any, Any]
    ) -> HarmonyParser:
        """Looks the format's tokens up; a tokenizer without one of them has none.

        MAX makes a parser for each request. The tokens are looked up once, as each of
        them would go to another thread and back.
        """
        if tokenizer not in _KNOWN:
            _KNOWN[tokenizer] = await cls._look_up(tokenizer)
        tokens, separator = _KNOWN[tokenizer]
        if not tokens:
            return cls({}, lambda _: "")
        return cls(tokens, tokenizer.delegate.decode, separator)  # type: ignore[attr-defined]

    @classmethod
    async def _look_up(
        cls, tokenizer: PipelineTokenizer[Any, Any, Any]
    ) -> tuple[dict[str, int], int | None]:
        """Returns the format's tokens, and that of `SEPARATOR` where it is one."""
        ids = {name: await convert_token_to_id(tokenizer, name) for name in cls.FRAMING}
        if getattr(tokenizer, "delegate", None) is None or None in ids.values():
            return {}, None
        known = {name: token for name, token in ids.items() if token is not None}
        separator = list(await tokenizer.encode(SEPARATOR, add_special_tokens=False))
        return known, int(separator[0]) if len(separator) == 1 else None

    @classmethod
    async def reasoning_end_token_id(
        cls, tokenizer: PipelineTokenizer[Any, Any, Any]
    ) -> int | None:
        """Returns the id of the token that ends a body."""
        return await convert_token_to_id(tokenizer, cls.REASONING_END)
