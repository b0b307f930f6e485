"""Tool calls in an answer, well formed and not."""

from __future__ import annotations

import json
import random

import pytest
from max.pipelines.lib import tool_parsing
from max.pipelines.lib.config.config import _required_argument_changes
from max.pipelines.sampling import SamplingConfig, ToolCallPolicy

from mxfp4.gpt_oss.arch import gpt_oss_arch
from mxfp4.gpt_oss.harmony import SEPARATOR as S
from mxfp4.gpt_oss.harmony import HarmonyParser
from mxfp4.gpt_oss.tool_calls import NAME, HarmonyToolParser
from test_harmony import ids, parser, split

SCHEMAS = {"get": {"type": "object"}, "now": {}}
CALL = f'functions.get{S}{{"a": "}}"}}{S}'

ANSWERS = {
    "a call": (CALL, ("", [("get", '{"a": "}"}')])),
    "no arguments": (f"functions.now{S}{{}}{S}", ("", [("now", "{}")])),
    "text before": (f"Let me see. {CALL}", ("Let me see. ", [("get", '{"a": "}"}')])),
    "two calls": (
        f"{CALL}functions.now{S} {{}}\n{S}",
        ("", [("get", '{"a": "}"}'), ("now", "{}")]),
    ),
    "text between": (f"a{CALL}b{CALL}c", ("abc", [("get", '{"a": "}"}')] * 2)),
    "no end": (CALL[:-1], ("", [("get", '{"a": "}"}')])),
    "white space at the end": (CALL[:-1] + " \n", ("", [("get", '{"a": "}"}')])),
    "no JSON": (f"functions.get{S}please{S}x", ("functions.getpleasex", [])),
    "no object": (f"functions.get{S}[1]{S}", ("functions.get[1]", [])),
    "broken": (f'functions.get{S}{{"a":}}{S}', ('functions.get{"a":}', [])),
    "broken, then right": (
        f"functions.get{S}{{a{S}{CALL}",
        ("functions.get{a", [("get", '{"a": "}"}')]),
    ),
    "more than JSON": (f"functions.get{S}{{}} {{{S}", ("{", [("get", "{}")])),
    "cut off": (f'functions.get{S}{{"a": 1', ('functions.get{"a": 1', [])),
    "cut off in the name": ("See functions.ge", ("See functions.ge", [])),
    "nothing in it": (f"functions.get{S}{S}", ("functions.get", [])),
    "an unknown function": (f"functions.rm{S}{{}}{S}", ("functions.rm{}", [])),
    "a built-in tool": (f"python{S}1+1{S}", ("python1+1", [])),
    "no name": (f"functions.{S}{{}}{S}", ("functions.{}", [])),
    "a name too long": (
        f"functions.{'x' * 65}{S}{{}}{S}",
        (f"functions.{'x' * 65}{{}}", []),
    ),
    "an answer that reads like a call": (
        'Write functions.get{"a": 1} for that.',
        ('Write functions.get{"a": 1} for that.', []),
    ),
    "a bare separator": (f"a{S}b", ("ab", [])),
    "nothing": ("", ("", [])),
}


def make() -> HarmonyToolParser:
    made = tool_parsing.create(NAME)
    assert isinstance(made, HarmonyToolParser)
    made.set_streaming_tool_schemas(SCHEMAS)
    return made


def stream(text: str, size: int) -> tuple[str, list[tuple[str, str]]]:
    """Returns text and calls of an answer that comes in pieces, as MAX puts them."""
    follow = make()
    content, calls, seen = "", [], set()
    for at in range(0, len(text), size):
        for delta in follow.parse_delta(text[at : at + size]) or []:
            content += delta.content or ""
            if delta.name is not None:
                assert delta.index == len(calls)
                seen.add(delta.id)
                calls.append((delta.name, delta.arguments))
    assert len(seen) == len(calls)
    return content + follow.flush(), calls


@pytest.mark.parametrize(("text", "want"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_comes_in_pieces(
    text: str, want: tuple[str, list[tuple[str, str]]]
) -> None:
    for size in (1, 2, 3, 7, 1000):
        assert stream(text, size) == want


@pytest.mark.parametrize(("text", "want"), ANSWERS.values(), ids=ANSWERS)
def test_a_whole_answer(text: str, want: tuple[str, list[tuple[str, str]]]) -> None:
    parsed = make().parse_complete(text)
    assert (parsed.content or "") == want[0].strip()
    assert [(call.name, call.arguments) for call in parsed.tool_calls] == want[1]
    assert len({call.id for call in parsed.tool_calls}) == len(want[1])


def test_without_schemas_any_function_is_called() -> None:
    parsed = tool_parsing.create(NAME).parse_complete(f"functions.any{S}{{}}{S}")
    assert [call.name for call in parsed.tool_calls] == ["any"]


def test_text_is_held_back_no_longer_than_it_must() -> None:
    follow = make()
    seen = [
        "".join(delta.content or "" for delta in follow.parse_delta(piece))
        for piece in ("It is ", "fun", "ny: functions", ".get", " is one")
    ]
    assert seen == ["It is ", "", "funny: ", "", "functions.get is one"]


def test_a_response_does_not_know_the_one_before() -> None:
    follow = make()
    follow.parse_delta(f"functions.get{S}{{")
    follow.reset()
    assert follow.parse_delta("}")[0].content == "}"
    assert follow.flush() == ""


def test_nested_arguments_that_never_end_are_text() -> None:
    text = f"functions.get{S}" + '{"a":' * 3000
    assert stream(text, 1000) == (text.replace(S, ""), [])


def test_random_answers_lose_no_character() -> None:
    rng = random.Random(6)
    pieces = [S, "functions.", "get", "rm", "{", "}", '"a"', ":", "1", " ", "é", "\n"]
    for _ in range(2000):
        text = "".join(rng.choices(pieces, k=rng.randrange(30)))
        content, calls = stream(text, rng.randrange(1, 9))
        whole, whole_calls = stream(text, 10**6)
        assert calls == whole_calls
        assert content == whole
        for name, arguments in calls:
            assert name in SCHEMAS
            assert isinstance(json.loads(arguments), dict)
        told = content + "".join(f"functions.{name}{args}" for name, args in calls)
        assert letters(told) == letters(text)


def letters(text: str) -> list[str]:
    """All but white space, in no order: calls come after text."""
    return sorted("".join(text.replace(S, "").split()))


def test_random_responses_through_both_parsers() -> None:
    """Harmony, valid or not: no exception, and all of the answer is told."""
    rng = random.Random(7)
    pieces = [
        *HarmonyParser.FRAMING,
        "assistant",
        "analysis",
        "commentary",
        " to=functions.get",
        " to=",
        "json",
        '{"a":1}',
        "{",
        "text",
    ]
    calls = 0
    for _ in range(400):
        response = "".join(rng.choices(pieces, k=rng.randrange(1, 25)))
        _, answer = split(response, [rng.randrange(1, 5)])
        content, found = stream(answer, rng.randrange(1, 9))
        calls += len(found)
        told = content + "".join(f"functions.{name}{args}" for name, args in found)
        assert letters(told) == letters(answer)
    assert calls


def test_a_call_from_the_model_s_tokens() -> None:
    response = (
        "<|channel|>analysis<|message|>Ask.<|end|><|start|>assistant<|channel|>"
        'commentary to=functions.get <|constrain|>json<|message|>{"a": 1}<|call|>'
    )
    for size in (1, 4, 100):
        reasoning, answer = split(response, [size])
        assert reasoning == "Ask."
        assert stream(answer, 3) == ("", [("get", '{"a": 1}')])


def test_an_answer_with_the_words_of_a_call_is_none() -> None:
    response = '<|channel|>final<|message|>functions.get{"a": 1}<|return|>'
    _, answer = split(response)
    assert stream(answer, 5) == ('functions.get{"a": 1}', [])


def test_log_probabilities_are_those_of_tokens_alone() -> None:
    follow = parser()
    delta = ids("<|channel|>commentary to=functions.get<|message|>{}<|call|>")
    span = follow.stream(delta, True).span
    content = span.extract_content(delta)
    probabilities = span.extract_content([f"of {token}" for token in delta])
    assert len(content) == len(probabilities) + 2


def test_it_is_the_architecture_s_own_and_asks_for_no_grammar() -> None:
    assert gpt_oss_arch.tool_parser == NAME
    assert _required_argument_changes(
        gpt_oss_arch, "SamplingConfig", SamplingConfig()
    ) == {"tool_call_policy": ToolCallPolicy.FORCE_UNCONSTRAINED}
    assert not hasattr(HarmonyToolParser, "generate_tool_call_grammar")
