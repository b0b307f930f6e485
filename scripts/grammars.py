"""Asks a running server for answers that keep to a grammar, and looks whether they do.

    SDK/bin/python scripts/grammars.py http://localhost:8000 [--requests N] [--budget N]

With random weights a model writes anything that it may, so every answer is a test of
the grammar. For each of `required`, a named function and `json_schema`, `--requests`
requests with random schemas that bound what an answer may have; all must be valid by
`jsonschema`. Then some that bound nothing: they must end by their length, and what
there is must begin something valid.

After that the time between tokens (TPOT): of requests without a grammar alone, and of
as many beside as many with one, and alone again.

Thinking is held to `--budget` tokens, without which a model with random weights never
ends it. Needs aiohttp, jsonschema and pydantic_core, which the SDK has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import jsonschema
import pydantic_core

Schema = dict[str, Any]
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath")


def bounded(draw: random.Random, depth: int = 2) -> Schema:
    """A random schema whose values have few tokens."""
    kinds = ["boolean", "integer", "string", "enum", "const", "null"]
    kind = draw.choice(kinds + ["array", "object"] * bool(depth))
    if kind == "integer":
        low = draw.randint(-1000, 1000)
        high = low + draw.randint(0, 500)
        return {"type": "integer", "minimum": low, "maximum": high}
    if kind == "string":
        return {"type": "string", "maxLength": draw.randint(1, 12)}
    if kind == "enum":
        return {"enum": draw.sample(WORDS, draw.randint(1, 5))}
    if kind == "const":
        return {"const": draw.choice([1, "one", True, None])}
    if kind == "array":
        items = bounded(draw, depth - 1)
        return {"type": "array", "items": items, "maxItems": draw.randint(1, 3)}
    if kind == "object":
        return bounded_object(draw, depth - 1)
    return {"type": kind}


def bounded_object(draw: random.Random, depth: int = 2) -> Schema:
    """A random schema of an object, as functions take them."""
    names = draw.sample(WORDS, draw.randint(1, 4))
    return {
        "type": "object",
        "properties": {name: bounded(draw, depth) for name in names},
        "required": names,
        "additionalProperties": False,
    }


def tool(name: str, parameters: Schema) -> dict[str, Any]:
    """A function that must be called as it says."""
    function = {"name": name, "parameters": parameters, "strict": True}
    return {"type": "function", "function": function}


def answer_format(schema: Schema) -> dict[str, Any]:
    """What has an answer keep to a schema."""
    form = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


class Invalid(Exception):
    """An answer is not what was asked for."""


def expect(is_so: bool, what: str) -> None:
    """Fails where it is not."""
    if not is_so:
        raise Invalid(what)


def valid(text: str, schema: Schema) -> None:
    """Looks at a whole JSON text."""
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError) as error:
        raise Invalid(f"{str(error).splitlines()[0]}: {text[:200]!r}") from error


def one_call(choice: dict[str, Any], tools: dict[str, Schema]) -> None:
    """Looks at the calls of an answer that must have some."""
    calls = choice["message"].get("tool_calls") or []
    expect(bool(calls), f"no call: {json.dumps(choice)[:300]}")
    for call in calls:
        function = call["function"]
        expect(function["name"] in tools, f"a call of {function['name']!r}")
        valid(function["arguments"], tools[function["name"]])


class Server:
    """A server that runs."""

    def __init__(self, session: aiohttp.ClientSession, base: str, model: str) -> None:
        self._session = session
        self._url = f"{base}/v1/chat/completions"
        self._model = model

    async def ask(self, **request: Any) -> dict[str, Any]:
        """Returns an answer's choice."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": "Go on."}],
            "temperature": 1.0,
        } | request
        async with self._session.post(self._url, json=body) as reply:
            if reply.status != 200:
                raise Invalid(f"HTTP {reply.status}: {(await reply.text())[:300]}")
            answer = await reply.json()
        return answer["choices"][0]  # type: ignore[no-any-return]

    async def tpot(self, tokens: int, **request: Any) -> float:
        """Returns the seconds a token takes, after the first one."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": "Go on."}],
            "temperature": 1.0,
            "max_tokens": tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        } | request
        first, count = 0.0, 0
        async with self._session.post(self._url, json=body) as reply:
            if reply.status != 200:
                raise Invalid(f"HTTP {reply.status}: {(await reply.text())[:300]}")
            async for line in reply.content:
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                # The first event may only say who speaks.
                said = [
                    text
                    for choice in event.get("choices", [])
                    for name, text in choice["delta"].items()
                    if name != "role" and text
                ]
                if said and not first:
                    first = time.perf_counter()
                if event.get("usage"):
                    count = event["usage"]["completion_tokens"]
        if count < 2 or not first:
            return 0.0
        return (time.perf_counter() - first) / (count - 1)


async def count(
    name: str, requests: int, at_once: int, one: Callable[[int], Any]
) -> bool:
    """Runs a kind of request; prints how many were right."""
    room = asyncio.Semaphore(at_once)
    wrong: list[str] = []
    begun = time.perf_counter()

    async def run(at: int) -> None:
        async with room:
            try:
                await one(at)
            except Invalid as error:
                wrong.append(f"{name} {at}: {error}")

    await asyncio.gather(*map(run, range(requests)))
    seconds = time.perf_counter() - begun
    right = requests - len(wrong)
    print(f"{name:28} {right} of {requests} valid ({seconds:.1f} s)", flush=True)
    for line in wrong[:5]:
        print(f"    {line}")
    return not wrong


async def counts(server: Server, options: argparse.Namespace) -> bool:
    """The bounded ones, then those without bounds."""
    budget = {"thinking_token_budget": options.budget, "max_tokens": 4096}
    ends: Counter[str] = Counter()

    def calls(at: int) -> dict[str, Schema]:
        draw = random.Random(at)
        return {f"do_{word}": bounded_object(draw) for word in draw.sample(WORDS, 3)}

    async def required(at: int) -> None:
        tools = calls(at)
        asked = [tool(*each) for each in tools.items()]
        choice = await server.ask(tools=asked, tool_choice="required", **budget)
        ends[choice["finish_reason"]] += 1
        one_call(choice, tools)

    async def named(at: int) -> None:
        tools = calls(at)
        asked = [tool(*each) for each in tools.items()]
        name = random.Random(at).choice(list(tools))
        named = {"type": "function", "function": {"name": name}}
        choice = await server.ask(tools=asked, tool_choice=named, **budget)
        ends[choice["finish_reason"]] += 1
        one_call(choice, {name: tools[name]})

    async def schema(at: int) -> None:
        wanted = bounded_object(random.Random(at))
        choice = await server.ask(**answer_format(wanted), **budget)
        ends[choice["finish_reason"]] += 1
        valid(choice["message"]["content"] or "", wanted)

    async def unbounded(at: int) -> None:
        wanted = {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": False,
        }
        asked = answer_format(wanted) | budget | {"max_tokens": options.budget + 64}
        choice = await server.ask(**asked)
        text = choice["message"]["content"] or ""
        if choice["finish_reason"] == "stop":
            valid(text, wanted)
            return
        expect(choice["finish_reason"] == "length", str(choice["finish_reason"]))
        try:
            begun = pydantic_core.from_json(text, allow_partial="trailing-strings")
        except ValueError as error:
            raise Invalid(f"{error}: {text[:200]!r}") from error
        expect(isinstance(begun, dict), text[:200])
        expect(set(begun) <= {"text"}, text[:200])

    right = []
    for name, one in (
        ("required", required),
        ("named", named),
        ("json_schema", schema),
    ):
        right.append(await count(name, options.requests, options.at_once, one))
    print(f"{'':28} ended by: {dict(ends)}")
    number = max(1, options.requests // 4)
    right.append(await count("json_schema without bounds", number, number, unbounded))
    return all(right)


async def times(server: Server, options: argparse.Namespace) -> None:
    """The time between tokens."""
    number, tokens = options.at_once, options.tokens
    free = {"ignore_eos": True}
    text = {"type": "array", "items": {"type": "string"}, "minItems": 10_000}
    held = answer_format(
        {
            "type": "object",
            "properties": {"texts": text},
            "required": ["texts"],
            "additionalProperties": False,
        }
    )
    held |= {"thinking_token_budget": options.budget}

    async def run(name: str, free_ones: int, held_ones: int) -> None:
        asked = [server.tpot(tokens, **free) for _ in range(free_ones)]
        asked += [server.tpot(tokens, **held) for _ in range(held_ones)]
        found = await asyncio.gather(*asked)
        line = f"{name:44}"
        for kind, part in (("without", found[:free_ones]), ("with", found[free_ones:])):
            part = [each for each in part if each]
            if part:
                line += f"  {kind} {statistics.median(part) * 1e3:6.2f} ms"
        print(line, flush=True)

    print(f"TPOT, median, {tokens} tokens:")
    await run("(warm-up)", number, number)
    for _ in range(options.rounds):
        await run(f"{number} without a grammar", number, 0)
        await run(f"{2 * number} without a grammar", 2 * number, 0)
        await run(f"{number} without beside {number} with", number, number)
        await run(f"{number} without beside 1 with", number, 1)
        await run(f"{number} with", 0, number)


async def main() -> int:
    """Runs what the command line asks for; returns 1 where an answer is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", help="the server's address")
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--budget", type=int, default=64, help="tokens of thinking")
    parser.add_argument(
        "--tokens", type=int, default=512, help="of an answer, for TPOT"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=["counts", "times"])
    options = parser.parse_args()
    timeout = aiohttp.ClientTimeout(total=600)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        async with session.get(f"{options.base}/v1/models") as reply:
            model = (await reply.json())["data"][0]["id"]
        server = Server(session, options.base, model)
        right = True
        if options.only != "times":
            right = await counts(server, options)
        if options.only != "counts":
            await times(server, options)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
