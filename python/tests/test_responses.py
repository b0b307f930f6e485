"""Tokens reach their streams, one an event or several where the server is behind.

MAX's own functions make the streams, from the queue of the model worker's messages to
the events' texts.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from max.pipelines.context import (
    GenerationStatus,
    TextContext,
    TextGenerationOutput,
    TokenBuffer,
)
from max.pipelines.modeling.types import RequestID, TextGenerationRequest
from max.serve.pipelines.llm import TokenGeneratorPipeline
from max.serve.scheduler_result import SchedulerResult
from max.serve.worker_interface.zmq_interface import ZmqModelWorkerProxy
from transformers import PreTrainedTokenizerFast

from mxfp4.gpt_oss import chunks, harmony, responses, tool_calls
from test_harmony import PROMPT, byte_tokenizer

INNER = byte_tokenizer(harmony.HarmonyParser.FRAMING)
HEADER = "<|start|>assistant<|channel|>"
ANSWERS = [
    "<|channel|>analysis<|message|>Hm, é😀!<|end|>"
    f"{HEADER}final<|message|>Grüße: 😀 ok<|return|>",
    f"<|channel|>final<|message|>{'long ' * 9}",
    "<|channel|>analysis<|message|>I ask.<|end|>"
    f"{HEADER}commentary to=functions.get <|constrain|>json<|message|>"
    '{"a": "é", "b": [1, 2]}<|call|>',
]
TOOL = {"type": "function", "function": {"name": "get", "parameters": {}}}


def ids(text: str) -> list[int]:
    found: list[int] = INNER.encode(text, add_special_tokens=False).ids
    return found


class Tokenizer:
    delegate = PreTrainedTokenizerFast(tokenizer_object=INNER)

    async def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return ids(text)

    async def decode(self, tokens: Any, **options: Any) -> str:
        return self.delegate.decode(tokens, **options)  # type: ignore[no-any-return]

    async def new_context(self, request: TextGenerationRequest) -> TextContext:
        return TextContext(
            max_length=10_000,
            tokens=TokenBuffer(np.array(ids(PROMPT))),
            request_id=request.request_id,
        )


class Requests:
    async def writable(self) -> bool:
        return True

    async def put(self, _: Any) -> None:
        pass

    def put_nowait(self, _: Any) -> None:
        raise AssertionError("nothing is to be cancelled")


@pytest.fixture(params=[False, True], ids=["as MAX has it", "replaced"])
def routes(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """MAX's module that makes the events."""
    module = importlib.import_module(chunks.ROUTES)
    for name in ("__hash__", "__eq__"):
        monkeypatch.setattr(RequestID, name, getattr(RequestID, name))
    worker = ZmqModelWorkerProxy.response_worker
    monkeypatch.setattr(ZmqModelWorkerProxy, "response_worker", worker)
    if request.param:
        responses.install()
        assert ZmqModelWorkerProxy.response_worker is not worker
    yield module


def streams(routes: Any, behind: int) -> tuple[list[Any], int]:
    """Returns what all clients read, and in how many events.

    The server has up to so many messages of the worker's before the streams have a
    turn.
    """
    rng = random.Random(behind)
    messages: asyncio.Queue[Any]

    async def client(proxy: Any, number: int) -> list[Any]:
        pipeline = TokenGeneratorPipeline(
            "model", Tokenizer(), proxy, reasoning_parser_name=harmony.NAME
        )
        generator = routes.OpenAIChatResponseGenerator(
            pipeline,
            stream_options={"include_usage": True},
            parser=tool_calls.HarmonyToolParser(),
            parse_tool_calls=True,
            tools=[TOOL],
        )
        made = await generator.stream(
            TextGenerationRequest(
                request_id=RequestID(f"request {number}"),
                model_name="model",
                messages=[],
                timestamp_ns=1,
            )
        )
        pieces = [piece async for piece in made]
        assert pieces.pop() == "[DONE]"
        return [json.loads(piece) for piece in pieces]

    async def worker() -> None:
        left = {number: ids(text) for number, text in enumerate(ANSWERS)}
        while left:
            for _ in range(rng.randint(1, behind)):
                message = {}
                for number, tokens in [*left.items()]:
                    token = tokens.pop(0)
                    status = GenerationStatus.ACTIVE
                    if not tokens:
                        del left[number]
                        status = GenerationStatus.END_OF_SEQUENCE
                        if number == 1:
                            status = GenerationStatus.MAXIMUM_LENGTH
                    # As another object each time, as they come from the worker.
                    request_id = RequestID(f"request {number}")
                    output = TextGenerationOutput(
                        request_id=request_id, tokens=[token], final_status=status
                    )
                    message[request_id] = SchedulerResult.create(output, 1)
                # One that is gone.
                gone = RequestID("gone")
                message[gone] = SchedulerResult(False, None)
                messages.put_nowait(message)
            for _ in range(20):
                await asyncio.sleep(0)

    async def run() -> list[list[Any]]:
        nonlocal messages
        messages = asyncio.Queue()
        proxy: Any = ZmqModelWorkerProxy(Requests(), messages, Requests())  # type: ignore[arg-type]
        routing = asyncio.ensure_future(proxy.response_worker())
        clients = [
            asyncio.ensure_future(client(proxy, number))
            for number in range(len(ANSWERS))
        ]
        while len(proxy.pending_out_queues) < len(ANSWERS):
            await asyncio.sleep(0)
        await worker()
        found = await asyncio.wait_for(asyncio.gather(*clients), 60)
        routing.cancel()
        return list(found)

    found = asyncio.run(run())
    return [read(events) for events in found], sum(map(len, found))


def read(events: list[Any]) -> Any:
    """Returns what a client makes of its stream."""
    content, reasoning, reasons, calls = "", "", [], {}
    for event in events[:-1]:
        [choice] = event["choices"]
        delta = choice["delta"]
        content += delta.get("content") or ""
        reasoning += delta.get("reasoning") or ""
        reasons.append(choice.get("finish_reason"))
        for call in delta.get("tool_calls") or []:
            name, arguments = calls.setdefault(call["index"], ["", ""])
            told = call["function"]
            calls[call["index"]] = [
                name + (told.get("name") or ""),
                arguments + (told.get("arguments") or ""),
            ]
    assert not any(reasons[:-1])
    return content, reasoning, reasons[-1], calls, events[-1]["usage"]


@pytest.mark.parametrize("behind", [2, 7, 1000])
def test_a_server_that_is_behind_says_the_same(routes: Any, behind: int) -> None:
    one_by_one, events = streams(routes, 1)
    found, fewer = streams(routes, behind)
    assert found == one_by_one
    # Several tokens were one event.
    assert fewer < events
    (first, second, call) = one_by_one
    assert first[:3] == ("Grüße: 😀 ok", "Hm, é😀!", "stop")
    assert second[:3] == ("long " * 9, "", "length")
    assert call[1:4] == (
        "I ask.",
        "tool_calls",
        {0: ["get", '{"a": "é", "b": [1, 2]}']},
    )
    assert [each[4]["completion_tokens"] for each in one_by_one] == [
        len(ids(text)) for text in ANSWERS
    ]
