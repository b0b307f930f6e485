"""xgrammar, as MAX has it, behind a pipe: one JSON object a line in, one out.

    walker.py PUBLISHED

- `{"do": "walk", "tag", "seed", "free", "json"}` walks through a tag's masks: `free`
  random steps, then to the end. Answers `{"tokens"}`, or `{"error"}`. `json` says that
  raw JSON is written, without messages around it.
- `{"do": "accepts", "tag", "tokens"}` answers `{"accepts"}`: whether the tokens are a
  whole answer, the end token left out.
- `{"do": "compile", "schema", "texts"}` answers `{"error"}` where xgrammar refuses a
  plain schema, else `{"accepts"}`: one for each of `texts`.
- `{"do": "validate", "schema", "value"}` answers `{"error"}` where the value is not of
  the schema.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError
from max import _xgrammar as xgrammar
from max.pipelines.lib.pipeline_variants.structured_output_backend import (
    make_grammar_backend,
)
from referencing.exceptions import Unresolvable
from transformers import AutoTokenizer

RETURN, CALL = 200002, 200012
CHANNEL, END, MESSAGE = 200005, 200007, 200008
MOST_STEPS = 20_000


class Walker:
    def __init__(self, published: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(published)
        size = len(self.tokenizer)
        self.backend = make_grammar_backend(
            "xgrammar", self.tokenizer, size, stop_token_ids={RETURN, CALL}
        )
        self.mask = self.backend.allocate_token_bitmask(1, size)
        self.size = size
        path = Path(published, "tokenizer.json")
        added = json.loads(path.read_text())["added_tokens"]
        self.special = {token["id"] for token in added}
        self.bytes = [self._bytes(id) for id in range(size)]
        lengths = np.array([len(each) for each in self.bytes])
        self.short = lengths == 1
        self.first = np.array([each[0] if each else 0 for each in self.bytes])

    def _bytes(self, id: int) -> bytes:
        token = self.tokenizer.convert_ids_to_tokens(id)
        if id in self.special:
            return token.encode()
        return bytes(BYTES[character] for character in token)

    def allowed(self, matcher: Any) -> Any:
        self.backend.fill_next_token_bitmask(matcher, self.mask, 0)
        bits = np.unpackbits(self.mask[0].view(np.uint8), bitorder="little")
        return np.flatnonzero(bits[: self.size])

    def walk(self, ask: dict[str, Any]) -> dict[str, Any]:
        matcher = self.backend.create_matcher(ask["tag"])
        draw = random.Random(ask["seed"])
        state = State(inside=ask["json"])
        tokens: list[int] = []
        for step in range(MOST_STEPS):
            allowed = self.allowed(matcher)
            if not len(allowed):
                return {"error": f"nothing is allowed after {self.text(tokens)!r}"}
            free = step < ask["free"]
            token = self.choose(allowed, free, state, draw)
            if matcher.try_consume_tokens([token]) != 1:
                return {"error": f"the mask allows {token}, the matcher does not"}
            tokens.append(token)
            if token in (RETURN, CALL):
                if not matcher.is_stopped():
                    return {"error": "an end token does not end"}
                return {"tokens": tokens}
            state.take(token, self.bytes[token])
        return {"error": f"no end after {self.text(tokens)[-400:]!r}"}

    def choose(self, allowed: Any, free: bool, state: State, draw: Any) -> int:
        ends = [token for token in (RETURN, CALL) if token in allowed]
        if ends and (not free or draw.random() < 0.05):
            return draw.choice(ends)
        usual = allowed[~np.isin(allowed, ends)]
        if not len(usual):
            return draw.choice(ends)
        if free and draw.random() < 0.5:
            return int(draw.choice(usual))
        return self.lead(usual, free, state, draw)

    def lead(self, allowed: Any, free: bool, state: State, draw: Any) -> int:
        """A token that leads to an end, or while `free` into what is there to see."""
        if state.after_channel and not free:
            # To a function, before the content begins; and not to think again.
            to = allowed[self.first[allowed] == ord(" ")]
            others = allowed[self.first[allowed] != ord("a")]
            allowed = to if len(to) else others if len(others) else allowed
        special = [int(each) for each in allowed if int(each) in self.special]
        if special:
            return draw.choice(special)
        short = allowed[self.short[allowed]]
        if not len(short):
            return int(draw.choice(allowed))
        first = self.first[short]
        for byte in state.wanted(free, draw):
            found = short[first == byte]
            if len(found):
                return int(found[0])
        return int(draw.choice(short))

    def text(self, tokens: list[int]) -> str:
        return b"".join(self.bytes[token] for token in tokens).decode(errors="replace")

    def accepts(self, ask: dict[str, Any]) -> dict[str, Any]:
        matcher = self.backend.create_matcher(ask["tag"])
        tokens = ask["tokens"]
        taken = matcher.try_consume_tokens(tokens)
        return {"accepts": taken == len(tokens) and matcher.is_accepting()}

    def compile(self, ask: dict[str, Any]) -> dict[str, Any]:
        part = {
            "type": "json_schema",
            "json_schema": ask["schema"],
            "reject_unsupported": True,
        }
        tag = json.dumps({"type": "structural_tag", "format": part})
        encode = self.tokenizer.encode
        results = []
        for text in ask["texts"]:
            tokens = encode(text, add_special_tokens=False)
            results.append(self.accepts({"tag": tag, "tokens": tokens})["accepts"])
        if not ask["texts"]:
            self.backend.create_matcher(tag)
        return {"accepts": results}

    def validate(self, ask: dict[str, Any]) -> dict[str, Any]:
        validator = Draft202012Validator(ask["schema"], format_checker=FormatChecker())
        value = json.loads(ask["value"])
        try:
            Draft202012Validator.check_schema(ask["schema"])
            error = next(validator.iter_errors(value), None)
        except (RecursionError, SchemaError, Unresolvable):
            # It is no schema, refers to itself without an end, or to nothing in a part
            # that says nothing (an `if` alone): no verdict.
            return {"error": None}
        return {"error": error and error.message}


class State:
    """Where in an answer a walk is."""

    def __init__(self, inside: bool) -> None:
        self.inside = inside
        self.after_channel = False
        self.string = False
        self.escaped = False

    def take(self, token: int, text: bytes) -> None:
        if token == MESSAGE:
            self.inside, self.string, self.after_channel = True, False, False
        elif token == END:
            self.inside = False
        elif token == CHANNEL:
            self.after_channel = True
        elif self.inside:
            for byte in text:
                self.byte(byte)

    def byte(self, byte: int) -> None:
        if self.escaped:
            self.escaped = False
        elif self.string and byte == ord("\\"):
            self.escaped = True
        elif byte == ord('"'):
            self.string = not self.string

    def wanted(self, free: bool, draw: Any) -> bytes:
        if not self.inside:
            return b""
        if self.string:
            return b"" if free and draw.random() < 0.7 else b'"'
        if free:
            wanted = list(b'",:}]{[0123456789tfn')
            draw.shuffle(wanted)
            return bytes(wanted)
        return b'}],:ntf0123456789"[{'


def byte_characters() -> dict[str, int]:
    """The characters by which the tokenizer writes bytes."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in printable)
    table = {chr(byte): byte for byte in printable}
    return table | {chr(0x100 + at): byte for at, byte in enumerate(others)}


BYTES = byte_characters()


def main() -> None:
    assert xgrammar
    # xgrammar's own log goes to the standard output: an answer may not be taken for it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    walker = Walker(sys.argv[1])
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            answer = getattr(walker, ask["do"])(ask)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".strip()}
        print(json.dumps(answer), file=answers, flush=True)


main()
