"""Writes the usual chunk of a stream from a template.

For every token MAX builds three validated models and serialises them, for a JSON text
that differs from the one before in a few characters. Here a model is not built when
MAX makes it; its fields are kept. When its JSON is asked for, the chunk's id and text
go into a template, which is what MAX's own models wrote when all the other fields were
the same. So there is no second opinion here on what a chunk looks like. One that has
more to say (log-probabilities, tool calls, token ids, usage) is built and serialised
as ever.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from pydantic_core import to_json

ROUTES = "max.serve.router.openai_routes"
"""The module that makes the chunks."""

PARTS = (
    "CompletionResponseStreamChoice",
    "ChatCompletionStreamResponseChoice",
    "ChatCompletionStreamResponseDelta",
)
CHUNKS = ("CompletionStreamResponse", "CreateChatCompletionStreamResponse")
LOGPROBS = ("_process_log_probabilities", "_process_chat_log_probabilities")

TEXTS = ("text", "content", "reasoning", "reasoning_content")
"""Where a chunk may have its text."""

ID_MARK, TEXT_MARK = uuid.uuid4().hex, uuid.uuid4().hex
"""What a chunk that becomes a template has in the two places."""

TEMPLATES = 64
"""How many are kept. Each has the time in it, and is of use for a second."""


class Late:
    """Takes the place of a model, whose fields are its attributes."""

    model: Callable[..., Any]

    def __init__(self, **fields: Any) -> None:
        self.__dict__ = fields

    def built(self) -> Any:
        """Returns the model, and those in its fields, as MAX would have made it."""
        fields = {name: _built(value) for name, value in self.__dict__.items()}
        return type(self).model(**fields)


def _built(value: Any) -> Any:
    if isinstance(value, Late):
        return value.built()
    if isinstance(value, list):
        return [_built(item) for item in value]
    return value


class _Template(NamedTuple):
    """The JSON of a chunk around its id and its text."""

    before: str
    between: str
    after: str

    def filled(self, chunk_id: str, text: str) -> str:
        # Quoted as the models do.
        quoted = to_json(text).decode()
        return f'{self.before}"{chunk_id}"{self.between}{quoted}{self.after}'


class LateChunk(Late):
    """Takes the place of the model that is serialised."""

    templates: dict[Any, _Template | None]

    def model_dump_json(self, **options: Any) -> str:
        """Returns what the model's method would."""
        found = _usual(self.__dict__)
        if found is None:
            return self.built().model_dump_json(**options)
        holder, name, others = found
        key = (*others, *options.items())
        try:
            template = self.templates[key]
        except KeyError:
            return self._learn(key, holder, name, options)
        except TypeError:
            # Not hashable: a list or a model, so this chunk has more to say.
            template = None
        if template is None:
            return self.built().model_dump_json(**options)
        return template.filled(self.__dict__["id"], holder[name])

    def _learn(
        self, key: Any, holder: dict[str, Any], name: str, options: dict[str, Any]
    ) -> str:
        """Keeps a template for chunks like this one, if there can be one."""
        chunk_id, text = self.__dict__["id"], holder[name]
        wanted: str = self.built().model_dump_json(**options)
        self.__dict__["id"], holder[name] = ID_MARK, TEXT_MARK
        try:
            marked: str = self.built().model_dump_json(**options)
        finally:
            self.__dict__["id"], holder[name] = chunk_id, text
        before, _, rest = marked.partition(f'"{ID_MARK}"')
        between, _, after = rest.partition(f'"{TEXT_MARK}"')
        template = _Template(before, between, after)
        if len(self.templates) >= TEMPLATES:
            self.templates.clear()
        is_one = template.filled(chunk_id, text) == wanted
        self.templates[key] = template if is_one else None
        return wanted


def _usual(
    fields: dict[str, Any],
) -> tuple[dict[str, Any], str, list[Any]] | None:
    """Finds a chunk's one text, if there is one.

    Returns the fields it is among, its name there, and all that is not the text or
    the id.
    """
    if len(fields["choices"]) != 1:
        return None
    choice = fields["choices"][0].__dict__
    delta = choice.get("delta")
    holder = choice if delta is None else delta.__dict__
    name = None
    for each in TEXTS:
        if holder.get(each) is not None:
            if name is not None:
                return None
            name = each
    if name is None or type(holder[name]) is not str:
        return None
    others: list[Any] = [name]
    parts = (fields, choice) if holder is choice else (fields, choice, holder)
    for part in parts:
        same = part.copy()
        for place in ("id", "choices", "delta", name):
            same.pop(place, None)
        others += same
        others += same.values()
    return holder, name, others


def _late(model: Any, base: type[Late]) -> type[Late]:
    return type(model.__name__, (base,), {"model": model, "templates": {}})


def _without(
    process: Callable[[list[Any]], Any],
) -> Callable[[list[Any]], Any]:
    """Returns the same for tokens without log-probabilities each time.

    It can be part of a template's key.
    """
    made = process([])
    kind = type(made)
    hashable = type(kind.__name__, (kind,), {"__hash__": object.__hash__})
    none = hashable.model_validate(made.model_dump())

    def processed(outputs: list[Any]) -> Any:
        if len(outputs) == 1:
            [output] = outputs
            if not output.token_log_probabilities and not output.top_log_probabilities:
                return none
        return process(outputs)

    return processed


def install() -> None:
    """Puts late models where MAX's module makes chunks, if it is as expected."""
    routes: ModuleType | None = sys.modules.get(ROUTES)
    if routes is None or not all(
        hasattr(routes, name) for name in (*PARTS, *CHUNKS, *LOGPROBS)
    ):
        return
    if isinstance(routes.CompletionStreamResponse, type) and issubclass(
        routes.CompletionStreamResponse, Late
    ):
        return
    for name in PARTS:
        setattr(routes, name, _late(getattr(routes, name), Late))
    for name in CHUNKS:
        setattr(routes, name, _late(getattr(routes, name), LateChunk))
    for name in LOGPROBS:
        setattr(routes, name, _without(getattr(routes, name)))
