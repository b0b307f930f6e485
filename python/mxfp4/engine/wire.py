"""The frames of the socket.

A frame is four bytes of length, little endian, and that many bytes of msgpack. A
message is a map of one entry, its name and its content. `crates/engine` is the other
end; its `vectors/frames.json` holds frames that the tests of both sides read.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

PROTOCOL = 1
"""The version of the frames. Both sides refuse another."""

MAX_FRAME = 16 << 20
"""The most bytes that a message may have, either way."""

LENGTH = 4
"""Bytes that say how long a message is."""

Count = Annotated[int, msgspec.Meta(ge=0)]
Token = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]


class FrameError(Exception):
    """A frame that cannot be read or written."""


class Welcome(msgspec.Struct):
    """The front end's answer to a lifeline."""

    protocol: Count


class Request(msgspec.Struct):
    """What is asked. None is the model's own default."""

    prompt: list[Token]
    max_tokens: Count | None = None
    min_tokens: Count | None = None
    ignore_eos: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: Count | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    stop_token_ids: list[Token] = []
    logprobs: Count | None = None
    grammar: str | None = None
    thinking_token_budget: Count | None = None


class Generate(msgspec.Struct):
    """A request and what it is called from now on."""

    id: Count
    request: Request


class Incoming(msgspec.Struct, forbid_unknown_fields=True):
    """What the front end sends: one of these."""

    welcome: Welcome | None = None
    generate: Generate | None = None
    cancel: list[Count] | None = None


class Hello(msgspec.Struct):
    """What this side says of itself when the model is loaded."""

    protocol: int
    max_version: str
    model: str
    max_length: int
    vocabulary: int
    end_tokens: list[int]
    max_batch: int | None
    penalties: bool
    min_tokens: bool
    max_logprobs: int
    grammar: bool


class Row(msgspec.Struct, omit_defaults=True):
    """What a step made for one request that has more to say than one token.

    A token's log-probabilities are itself, its own and those of the likeliest.
    """

    id: int
    tokens: list[int] = []
    finish: str | None = None
    cached: int | None = None
    logprobs: list[tuple[int, float, list[tuple[int, float]]]] = []


class Step(msgspec.Struct, omit_defaults=True):
    """What a step made: requests that got one token, the token of each, the others."""

    ids: list[int] = []
    tokens: list[int] = []
    rows: list[Row] = []


class Error(msgspec.Struct):
    """A request has no answer, or no more of it."""

    id: int
    kind: str
    message: str


_decoder = msgspec.msgpack.Decoder(Incoming)
_encoder = msgspec.msgpack.Encoder()


def pack(name: str, content: Any) -> bytes:
    """Returns a message's frame."""
    data = _encoder.encode({name: content})
    if len(data) > MAX_FRAME:
        raise FrameError(f"a frame of {len(data)} bytes, where {MAX_FRAME} are allowed")
    return len(data).to_bytes(LENGTH, "little") + data


def unpack(data: bytes) -> Incoming:
    """Reads a message."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        text = f"a frame that is no message of this protocol: {error}"
        raise FrameError(text) from error


def length(head: bytes) -> int:
    """Returns how many bytes a message has that begins with these four."""
    count = int.from_bytes(head, "little")
    if count > MAX_FRAME:
        raise FrameError(f"a frame of {count} bytes, where {MAX_FRAME} are allowed")
    return count


async def receive(reader: asyncio.StreamReader) -> Incoming | None:
    """Waits for the next message; returns None at the end."""
    try:
        head = await reader.readexactly(LENGTH)
        return unpack(await reader.readexactly(length(head)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
