"""Tells tool calls from the text of an answer.

In the answer that the harmony parser leaves, a call is `functions.NAME`, a separator,
its arguments as JSON, a separator. Only that is a call, and only when its arguments
are one whole JSON object and its function is none that the client did not offer.
Anything else is text, and every character of it comes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from max.pipelines.lib.tool_parsing import (
    StructuralTagToolParser,
    generate_call_id,
    partial_tag_overlap,
    register,
)
from max.pipelines.modeling.types import (
    ParsedToolCall,
    ParsedToolCallDelta,
    ParsedToolResponse,
)
from typing_extensions import override

from mxfp4.gpt_oss.harmony import SEPARATOR

NAME = "mxfp4_harmony"
"""What `--tool-parser` calls it; the architecture's default."""

_PREFIX = "functions."
_CALLED = re.compile(r"functions\.([A-Za-z0-9_-]{1,64})\Z")
"""How the text before a call's body ends."""
_MAYBE_CALLED = re.compile(r"functions\.[A-Za-z0-9_-]{0,64}\Z")
"""What may become that with more text."""

_DECODER = json.JSONDecoder()
_WHITE_SPACE = " \t\r\n"


@dataclass
class _Parts:
    """What some text was found to hold."""

    content: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Names and arguments."""


@register(NAME)
class HarmonyToolParser(StructuralTagToolParser):
    """Follows one response.

    A call is told as a whole, once its arguments are complete: what has been sent as
    a call could not be taken back as text. The base class is one for MAX's sake, which
    asks its kind alone for what it has held back at the end of a stream.
    """

    def __init__(self) -> None:
        super().__init__()
        self._functions: frozenset[str] = frozenset()
        self.reset()

    def set_tool_schemas(self, schemas: Mapping[str, dict[str, Any]]) -> None:
        """Takes the functions on offer; of none given, any may be called."""
        self._functions = frozenset(schemas)

    @override
    def set_streaming_tool_schemas(self, schemas: Mapping[str, dict[str, Any]]) -> None:
        self.set_tool_schemas(schemas)

    @override
    def reset(self) -> None:
        """Forgets the response before."""
        self._held = ""
        self._calling: str | None = None
        self._has_called = False
        self._tried = 0
        self._count = 0

    @override
    def parse_complete(self, response: str) -> ParsedToolResponse:
        """Returns the calls of a whole response, and its text."""
        self.reset()
        parts = self._feed(response)
        content = (parts.content + self.flush()).strip()
        return ParsedToolResponse(
            content=content or None,
            tool_calls=[
                ParsedToolCall(id=generate_call_id(), name=name, arguments=arguments)
                for name, arguments in parts.calls
            ],
        )

    @override
    def parse_delta(self, delta: str) -> list[ParsedToolCallDelta]:
        """Returns the calls that are complete by now, and the text that is none."""
        parts = self._feed(delta)
        deltas = []
        if parts.content:
            deltas.append(ParsedToolCallDelta(index=0, content=parts.content))
        for name, arguments in parts.calls:
            deltas.append(
                ParsedToolCallDelta(
                    index=self._count,
                    id=generate_call_id(),
                    name=name,
                    arguments=arguments,
                )
            )
            self._count += 1
        return deltas

    @override
    def _parse_complete_section(self, tool_section: str) -> list[ParsedToolCall]:
        return self.parse_complete(tool_section).tool_calls

    @override
    def _split_tool_call_body(
        self, body: str, is_complete: bool
    ) -> tuple[str | None, str | None]:
        return None, body

    @override
    def flush(self) -> str:
        """Returns the text that was held back, once no more comes."""
        text = "" if self._has_called else self._as_text(self._held)
        self._held, self._calling, self._has_called, self._tried = "", None, False, 0
        return text

    def _feed(self, text: str) -> _Parts:
        self._held += text
        parts = _Parts()
        while self._held and self._step(parts):
            pass
        return parts

    def _step(self, parts: _Parts) -> bool:
        """Takes from what is held what can be told; says whether more may follow."""
        if self._calling is not None:
            return self._step_in_call(parts)
        if self._has_called:
            # White space up to the separator belongs to the call.
            self._held = self._held.lstrip(_WHITE_SPACE)
            self._has_called = not self._held
            self._held = self._held.removeprefix(SEPARATOR)
            return not self._has_called
        before, separator, after = self._held.partition(SEPARATOR)
        if not separator:
            kept = self._undecided(before)
            parts.content += before[: len(before) - kept]
            self._held = before[len(before) - kept :]
            return False
        called = _CALLED.search(before)
        if called and (not self._functions or called[1] in self._functions):
            parts.content += before[: called.start()]
            self._calling = called[1]
        else:
            # Another recipient's: its separators say nothing.
            parts.content += before
        self._held = after
        return True

    def _step_in_call(self, parts: _Parts) -> bool:
        assert self._calling is not None
        body, separator, after = self._held.partition(SEPARATOR)
        start = len(body) - len(body.lstrip(_WHITE_SPACE))
        # Only a closing brace completes an object, so other text is not worth a try.
        is_news = "}" in body[self._tried :]
        self._tried = len(body)
        if is_news and (end := _end_of_object(body, start)):
            parts.calls.append((self._calling, body[start:end]))
            self._has_called = True
            after = self._held[end:]
        elif not separator and body[start : start + 1] in ("", "{"):
            # More may complete it.
            return False
        else:
            parts.content += self._as_text(body)
        self._calling, self._held, self._tried = None, after, 0
        return True

    def _as_text(self, body: str) -> str:
        called = "" if self._calling is None else _PREFIX + self._calling
        return called + body

    @staticmethod
    def _undecided(text: str) -> int:
        """Returns how many characters at the end may belong to a call's name."""
        if match := _MAYBE_CALLED.search(text):
            return len(text) - match.start()
        return partial_tag_overlap(text, _PREFIX)


def _end_of_object(text: str, start: int) -> int:
    """Returns where the JSON object ends that starts there; 0 without a whole one."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return 0
    return end if isinstance(value, dict) else 0
