"""Reasoning and answer in the harmony format, well formed and not."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from max.pipelines.lib import reasoning
from max.pipelines.modeling.types import ReasoningPipelineTokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from mxfp4.gpt_oss.arch import gpt_oss_arch
from mxfp4.gpt_oss.harmony import NAME, HarmonyParser

PROMPT = "<|start|>user<|message|>Hi<|end|><|start|>assistant"


def byte_tokenizer(special: tuple[str, ...]) -> Tokenizer:
    """A token a byte, but for the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # The role is one token, as with the published tokenizer.
    tokenizer.add_tokens([AddedToken("assistant", normalized=False)])
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    return tokenizer


class PipelineTokenizer:
    """What MAX wraps around a tokenizer, as far as a parser sees it."""

    def __init__(self, special: tuple[str, ...] = HarmonyParser.FRAMING) -> None:
        self.inner = byte_tokenizer(special)
        self.delegate = SimpleNamespace(
            decode=lambda ids: self.inner.decode(ids, skip_special_tokens=False)
        )

    async def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return self.inner.encode(text, add_special_tokens=add_special_tokens).ids


TOKENIZER = PipelineTokenizer()


def parser(tokenizer: PipelineTokenizer = TOKENIZER) -> HarmonyParser:
    return asyncio.run(reasoning.create(NAME, tokenizer))


def ids(text: str, tokenizer: PipelineTokenizer = TOKENIZER) -> list[int]:
    return tokenizer.inner.encode(text, add_special_tokens=False).ids


def split(text: str, sizes: list[int] | None = None) -> tuple[str, str]:
    """Returns reasoning and answer of a response that comes in deltas."""
    follow = parser()
    reasons = follow.will_reason_after_prompt(ids(PROMPT))
    tokens, found = ids(text), ([], [])
    pieces = itertools.cycle(sizes or [max(len(tokens), 1)])
    while tokens:
        size = next(pieces)
        delta, tokens = tokens[:size], tokens[size:]
        parsed = follow.stream(delta, reasons)
        reasons = parsed.is_still_reasoning
        found[0].extend(parsed.span.extract_reasoning(delta))
        found[1].extend(parsed.span.extract_content(delta))
    first, second = (TOKENIZER.delegate.decode(part) for part in found)
    return first, second


WELL_FORMED = {
    "reasoning, then the answer": (
        "<|channel|>analysis<|message|>Let me see.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>It is 4.<|return|>",
        ("Let me see.", "It is 4."),
    ),
    "an answer alone": ("<|channel|>final<|message|>Yes<|return|>", ("", "Yes")),
    "a preamble is for the user": (
        "<|channel|>commentary<|message|>Plan: ask.<|end|>",
        ("", "Plan: ask."),
    ),
    "reasoning twice": (
        "<|channel|>analysis<|message|>One.<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|> Two.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Done<|return|>",
        ("One. Two.", "Done"),
    ),
    "a tool call keeps its name": (
        "<|channel|>analysis<|message|>Weather.<|end|><|start|>assistant"
        '<|channel|>commentary to=functions.get <|constrain|>json<|message|>{"a":1}'
        "<|call|>",
        ("Weather.", 'functions.get\x1f{"a":1}\x1f'),
    ),
    "the recipient before the channel": (
        " to=functions.get<|channel|>commentary json<|message|>{}<|call|>",
        ("", "functions.get\x1f{}\x1f"),
    ),
    "a built-in tool's code is no reasoning": (
        "<|channel|>analysis to=python code<|message|>1+1<|call|>",
        ("", "python\x1f1+1\x1f"),
    ),
    "letters of many bytes": (
        "<|channel|>analysis<|message|>π ≈ 3<|end|>"
        "<|start|>assistant<|channel|>final<|message|>π 😊<|return|>",
        ("π ≈ 3", "π 😊"),
    ),
}

MALFORMED = {
    "no format at all": ("Hello you", ("", "Hello you")),
    "no format, a small letter": ("hello you", ("", "hello you")),
    "no header after the reasoning": (
        "<|channel|>analysis<|message|>Hm<|end|>Four.",
        ("Hm", "Four."),
    ),
    "no message token": ("<|channel|>analysis We see", ("We see", "")),
    "a second start": (
        "<|start|>assistant<|channel|>final<|message|>Yes<|return|>",
        ("", "Yes"),
    ),
    "an unknown channel": ("<|channel|>musing<|message|>Yes", ("", "Yes")),
    "no channel": ("<|message|>Yes", ("", "Yes")),
    "the answer's channel without an end before": (
        "<|channel|>analysis<|message|>Hm<|channel|>final<|message|>Yes",
        ("Hm", "Yes"),
    ),
    "a message token in a body": (
        "<|channel|>final<|message|>a<|message|>b",
        ("", "ab"),
    ),
    "text after the end": ("<|channel|>final<|message|>a<|return|>b", ("", "ab")),
    "a header that ends the response": ("<|channel|>ana", ("", "")),
    "nothing": ("", ("", "")),
}


@pytest.mark.parametrize(("text", "want"), WELL_FORMED.values(), ids=WELL_FORMED)
def test_reasoning_and_answer(text: str, want: tuple[str, str]) -> None:
    for sizes in (None, [1], [2], [3, 1, 4]):
        assert split(text, sizes) == want


@pytest.mark.parametrize(("text", "want"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_response_is_told_all_the_same(
    text: str, want: tuple[str, str]
) -> None:
    for sizes in (None, [1], [2]):
        reasoning_text, answer = split(text, sizes)
        assert (reasoning_text.strip(), answer) == want


def test_a_header_without_an_end_does_not_swallow_the_answer() -> None:
    long = "to=" + "x" * 200
    reasoning_text, answer = split(f"<|channel|>commentary {long} and more")
    assert reasoning_text == ""
    assert answer == "x" * 200 + " and more"


def test_whatever_comes_is_routed_once_and_in_order() -> None:
    """Random tokens, framing and letters: no exception, nothing twice."""
    rng = random.Random(5)
    pieces = [
        *HarmonyParser.FRAMING,
        "assistant",
        "analysis",
        "final",
        " to=",
        "x",
        "Y",
    ]
    for _ in range(300):
        tokens = ids("".join(rng.choices(pieces, k=rng.randrange(1, 40))))
        follow = parser()
        places = list(range(len(tokens)))
        seen = []
        while places:
            size = rng.randrange(1, 6)
            delta, places = places[:size], places[size:]
            span = follow.stream([tokens[place] for place in delta], True).span
            # No integers: among those separators would come.
            delta = [float(place) for place in delta]
            seen += sorted(span.extract_content(delta) + span.extract_reasoning(delta))
        assert seen == sorted(set(seen))


def test_a_response_does_not_know_the_one_before() -> None:
    follow = parser()
    follow.stream(ids("<|channel|>analysis<|message|>Hm"), True)
    follow.reset()
    delta = ids("Yes")
    assert follow.stream(delta, False).span.extract_content(delta) == delta


def test_without_the_format_s_tokens_all_is_answer() -> None:
    plain = PipelineTokenizer(special=("<|end|>",))
    follow = parser(plain)
    delta = ids("<|channel|>analysis<|message|>Hm", plain)
    assert not follow.will_reason_after_prompt(delta)
    parsed = follow.stream(delta, True)
    assert parsed.span.extract_content(delta) == delta
    assert not parsed.is_still_reasoning


def test_it_is_the_architecture_s_own() -> None:
    assert gpt_oss_arch.reasoning_parser == NAME
    end = asyncio.run(HarmonyParser.reasoning_end_token_id(TOKENIZER))
    assert [end] == ids("<|end|>")


def test_the_overlap_scheduler_takes_the_tokenizer(checkpoint_folder: Path) -> None:
    # With a reasoning parser it refuses to start with a tokenizer that lacks these.
    tokenizer = gpt_oss_arch.tokenizer(str(checkpoint_folder), None)
    assert isinstance(tokenizer, ReasoningPipelineTokenizer)
    assert tokenizer.reasoning_start_token_id == -1
    assert tokenizer.reasoning_end_token_id == -1
