"""Grammars that are tried before MAX's worker gets them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from mxfp4.engine import grammar_process
from mxfp4.engine.grammars import Grammars, TooMany

PATIENCE = 300.0
ENDS = ("<|return|>", "<|call|>")


def letters() -> PreTrainedTokenizerFast:
    """A vocabulary of bytes, and the tokens of harmony."""
    alphabet = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({byte: at for at, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    special = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", *ENDS]
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def published() -> PreTrainedTokenizerFast:
    folder = os.environ.get("MXFP4_PUBLISHED")
    if not folder:
        pytest.skip("skipped: needs the published tokenizer, set MXFP4_PUBLISHED")
    file = str(Path(folder) / "tokenizer.json")
    return PreTrainedTokenizerFast(tokenizer_file=file)


def tag(**form: Any) -> str:
    return json.dumps({"type": "structural_tag", "format": form})


def schema(**content: Any) -> str:
    return tag(type="json_schema", json_schema=content, reject_unsupported=True)


@asynccontextmanager
async def grammars(tokenizer: PreTrainedTokenizerFast) -> AsyncIterator[Grammars]:
    ends = {tokenizer.convert_tokens_to_ids(name) for name in ENDS}
    made = Grammars(
        SimpleNamespace(delegate=tokenizer, eos_token_ids=ends),
        SimpleNamespace(
            runtime=SimpleNamespace(tool_parser=None),
            sampling=SimpleNamespace(structured_output_any_whitespace=False),
        ),
    )
    try:
        yield made
    finally:
        made.close()


def run(
    test: Callable[[Grammars], Coroutine[Any, Any, None]],
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    async def whole() -> None:
        async with grammars(tokenizer) as made:
            await asyncio.wait_for(test(made), PATIENCE)

    asyncio.run(whole())


GOOD = [
    tag(type="regex", pattern="[a-z]+"),
    tag(type="grammar", grammar='root ::= "a" | "b" root'),
    schema(type="object", properties={"a": {"type": "integer"}}, required=["a"]),
    schema(enum=[f"value-{at}" for at in range(100)]),
    schema(type="string", minLength=2, maxLength=20),
]

BAD = [
    ("{", "Invalid JSON"),
    ('{"a": 1}', "format: Field required"),
    (tag(type="none_such"), "type"),
    (tag(type="regex", pattern="(a"), "egex"),
    (tag(type="regex", pattern="^(?=a)b"), "ookahead"),
    (tag(type="grammar", grammar="root ::= x"), "x"),
    (tag(type="grammar", grammar='root := "a'), "EBNF"),
    (tag(type="token", token=10**9), ""),
    (schema(type="array", uniqueItems=True), "uniqueItems"),
    ("[" * 100_000, "recursion"),
]

SLOW = [
    tag(type="regex", pattern="(a{1,1000}){1,1000}"),
    tag(type="regex", pattern="((a{1,100}){1,100}){1,100}"),
    tag(type="regex", pattern=".{0,100000}"),
    schema(
        type="object", properties={f"k{at}": {"type": "string"} for at in range(5000)}
    ),
]
"""To compile, or to follow where tokens are long."""

HOSTILE = [
    tag(type="grammar", grammar="root ::= " + "(" * 100_000 + '"a"' + ")" * 100_000),
    tag(type="regex", pattern="(" * 100_000 + "a" + ")" * 100_000),
]


def test_what_is_right_passes_and_what_is_wrong_is_said() -> None:
    async def test(made: Grammars) -> None:
        for grammar in GOOD:
            assert await made.find_error(grammar) is None, grammar
        for grammar, says in BAD:
            error = await made.find_error(grammar)
            assert error and says in error, (grammar[:80], error)
            assert ".cc:" not in error
            assert "\n" not in error
            assert await made.find_error(grammar) == error

    run(test, letters())


def test_a_hostile_grammar_is_refused_while_others_pass() -> None:
    """Whatever xgrammar does with it: the process that answers is the same after."""

    async def test(made: Grammars) -> None:
        await made.start()
        assert made._process is not None
        before = made._process.pid
        errors = asyncio.gather(*map(made.find_error, HOSTILE))
        assert await made.find_error(GOOD[0]) is None
        assert all(await errors), errors.result()
        assert await made.find_error(GOOD[1]) is None
        assert made._process.pid == before

    run(test, letters())


def test_what_is_slow_with_the_published_vocabulary_is_refused() -> None:
    async def test(made: Grammars) -> None:
        slow = asyncio.gather(*map(made.find_error, SLOW))
        for grammar in GOOD:
            assert await made.find_error(grammar) is None, grammar
        for grammar, error in zip(SLOW, await slow, strict=True):
            assert error and " takes " in error, (grammar[:80], error)

    run(test, published())


def test_the_end_of_a_child_tells_why() -> None:
    assert "takes more than" in grammar_process.why(signal.SIGXCPU)
    assert "takes more than" in grammar_process.why(signal.SIGKILL)
    assert "nested too deep" in grammar_process.why(signal.SIGSEGV)


def test_the_process_is_started_again_where_it_has_ended() -> None:
    async def test(made: Grammars) -> None:
        assert await made.find_error(GOOD[0]) is None
        assert made._process is not None
        made._process.kill()
        reading = made._reading
        assert reading is not None
        await reading
        # It is still known of this one.
        assert await made.find_error(GOOD[0]) is None
        assert made._process is None
        assert await made.find_error(GOOD[1]) is None

    run(test, letters())


def test_many_that_ask_for_one_have_it_tried_once() -> None:
    async def test(made: Grammars) -> None:
        answers = await asyncio.gather(*[made.find_error(GOOD[0]) for _ in range(500)])
        assert answers == [None] * 500
        assert made._count == 1

    run(test, letters())


def test_not_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxfp4.engine.grammars.WAITING", 2)

    async def test(made: Grammars) -> None:
        first = [asyncio.ensure_future(made.find_error(each)) for each in GOOD[:2]]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await made.find_error(GOOD[2])
        assert await asyncio.gather(*first) == [None, None]
        assert await made.find_error(GOOD[2]) is None

    run(test, letters())


def test_who_gives_up_leaves_the_answer_to_others() -> None:
    async def test(made: Grammars) -> None:
        one = asyncio.ensure_future(made.find_error(GOOD[0]))
        other = asyncio.ensure_future(made.find_error(GOOD[0]))
        await asyncio.sleep(0)
        one.cancel()
        assert await other is None

    run(test, letters())
