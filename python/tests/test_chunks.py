"""Chunks from a template are those that MAX's models write, byte for byte."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from max.pipelines.context import GenerationStatus
from max.pipelines.modeling.types import RequestID, TextGenerationRequest
from max.serve.pipelines.llm import TokenGeneratorOutput
from opentelemetry.trace import INVALID_SPAN

from mxfp4.gpt_oss import chunks

NAMES = (*chunks.PARTS, *chunks.CHUNKS, *chunks.LOGPROBS)
TOKEN = TokenGeneratorOutput(status=GenerationStatus.ACTIVE, decoded_tokens="a")
TEXTS = ['"', "\\", "\n\r\t\b\f", "\x00\x1f\x7f", "é\u2028\ufffd", "😀", "", " ", "a"]
LOGPROBS: dict[str, Any] = {
    "token_log_probabilities": [-0.5],
    "top_log_probabilities": [{7: ("a", -0.5), 8: ("b", -1.5)}],
    "sampled_tokens": ["a"],
}
STREAM = [
    replace(TOKEN, prompt_token_count=3, cached_token_count=1, prompt_token_ids=[1, 2]),
    *(replace(TOKEN, decoded_tokens=text, token_ids=[5]) for text in TEXTS),
    *(
        replace(TOKEN, decoded_tokens=None, decoded_reasoning_tokens=text)
        for text in TEXTS
    ),
    replace(TOKEN, decoded_reasoning_tokens="both"),
    replace(TOKEN, **LOGPROBS),
    TOKEN,
    replace(TOKEN, decoded_tokens=None, token_count=0),
]
ENDS = [
    replace(TOKEN, status=GenerationStatus.END_OF_SEQUENCE),
    replace(TOKEN, status=GenerationStatus.MAXIMUM_LENGTH, decoded_tokens=None),
    replace(TOKEN, status=GenerationStatus.MAXIMUM_LENGTH, **LOGPROBS),
]
USAGE = {"include_usage": True}


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """MAX's module, at a time that stands still, and as it was afterwards."""
    module = importlib.import_module(chunks.ROUTES)
    for name in NAMES:
        monkeypatch.setattr(module, name, getattr(module, name))
    now = SimpleNamespace(timestamp=lambda: 1700000000.5)
    monkeypatch.setattr(module, "datetime", SimpleNamespace(now=lambda: now))
    yield module


def stream(generator: Any, outputs: list[TokenGeneratorOutput]) -> list[str]:
    """Returns what MAX's own function makes of a stream of tokens."""

    async def source() -> AsyncIterator[TokenGeneratorOutput]:
        for output in outputs:
            yield output

    async def run() -> list[str]:
        request = TextGenerationRequest(
            request_id=RequestID("7"),
            model_name='m"\\é',
            prompt="p",
            timestamp_ns=1,
        )
        made = generator._stream(request, source(), INVALID_SPAN)
        return [piece async for piece in made]

    return asyncio.run(run())


def generators(routes: ModuleType, **options: Any) -> list[Any]:
    pipeline = SimpleNamespace(debug_logging=False)
    return [
        routes.OpenAICompletionResponseGenerator(pipeline, **options),
        routes.OpenAIChatResponseGenerator(pipeline, **options),
        routes.OpenAIChatResponseGenerator(
            pipeline, emit_reasoning_content=True, **options
        ),
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"stream_options": USAGE}, {"return_token_ids": True}],
    ids=["plain", "usage", "token ids"],
)
@pytest.mark.parametrize("end", ENDS, ids=["stop", "length", "log-probabilities"])
def test_every_piece_is_the_same(
    routes: ModuleType, options: dict[str, Any], end: TokenGeneratorOutput
) -> None:
    outputs = [*STREAM, end]
    wanted = [stream(generator, outputs) for generator in generators(routes, **options)]
    chunks.install()
    # The first makes the templates, the second finds them.
    for _ in range(2):
        got = [stream(each, outputs) for each in generators(routes, **options)]
        assert got == wanted
    assert all(len(pieces) > len(TEXTS) for pieces in wanted)


def test_tool_calls_are_the_same(routes: ModuleType) -> None:
    from max.pipelines.modeling.types import ParsedToolCallDelta

    class Parser:
        def reset(self) -> None: ...

        def parse_delta(self, delta: str) -> list[ParsedToolCallDelta]:
            if delta != "call":
                return [ParsedToolCallDelta(index=0, content=delta)]
            return [ParsedToolCallDelta(index=0, id="c", name="f", arguments="{}")]

    def run() -> list[str]:
        generator = routes.OpenAIChatResponseGenerator(
            SimpleNamespace(debug_logging=False), parser=Parser(), parse_tool_calls=True
        )
        called = replace(TOKEN, decoded_tokens="call")
        return stream(generator, [TOKEN, called, TOKEN, ENDS[0]])

    wanted = run()
    assert any("tool_calls" in piece for piece in wanted)
    chunks.install()
    assert [run(), run()] == [wanted, wanted]


def test_the_usual_chunk_is_not_built(routes: ModuleType) -> None:
    chunks.install()
    built = []
    for name in chunks.CHUNKS:
        kind = getattr(routes, name)

        def counting(made: Any = kind.model, /, **fields: Any) -> Any:
            built.append(fields)
            return made(**fields)

        kind.model = staticmethod(counting)
    for generator in generators(routes)[:2]:
        stream(generator, [TOKEN])
    before = len(built)
    assert before
    for generator in generators(routes)[:2]:
        stream(generator, [TOKEN] * 10)
    assert len(built) == before


def test_templates_do_not_pile_up(routes: ModuleType) -> None:
    chunks.install()
    kind = routes.CompletionStreamResponse
    for created in range(3 * chunks.TEMPLATES):
        choice = routes.CompletionResponseStreamChoice(index=0, text="a")
        kind(
            id="7",
            choices=[choice],
            created=created,
            model="m",
            object="text_completion",
        ).model_dump_json()
    assert 0 < len(kind.templates) <= chunks.TEMPLATES


def test_a_module_that_is_not_as_expected_is_left_alone(
    routes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(routes, chunks.PARTS[0])
    before = routes.CompletionStreamResponse
    chunks.install()
    assert routes.CompletionStreamResponse is before
