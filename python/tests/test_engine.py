"""The engine's parts without MAX's server: frames, lifeline, names, steps."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from max.pipelines.context import (
    GenerationStatus,
    LogProbabilities,
    SamplingParams,
    TextContext,
    TextGenerationOutput,
)
from max.pipelines.context.sampling_params import SamplingParamsGenerationConfigDefaults
from max.pipelines.lib import TextTokenizer
from max.pipelines.modeling.types import RequestID
from max.serve.scheduler_result import SchedulerResult

from mxfp4.engine import hello, lifeline, names, wire
from mxfp4.engine.requests import Contexts, Refused
from mxfp4.engine.steps import Steps
from mxfp4.max_patches import bounds, registry

ROOT = Path(__file__).parents[2]
VECTORS = json.loads(Path(__file__).with_name("frames.json").read_text())
TYPES: dict[str, Any] = {
    "lifeline": dict,
    "hello": wire.Hello,
    "step": wire.Step,
    "error": wire.Error,
}
PATIENCE = 30.0


def vectors(sender: str) -> Any:
    found = [each for each in VECTORS if each["from"] == sender]
    return pytest.mark.parametrize("vector", found, ids=[v["name"] for v in found])


@vectors("engine")
def test_what_the_engine_sends_is_written(vector: dict[str, Any]) -> None:
    [(name, content)] = vector["message"].items()
    made = wire.pack(name, msgspec.convert(content, TYPES[name]))
    assert made.hex() == vector["hex"]


@vectors("front end")
def test_what_the_front_end_sends_is_read(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["hex"])
    head, data = frame[: wire.LENGTH], frame[wire.LENGTH :]
    assert wire.length(head) == len(data)
    assert wire.unpack(data) == msgspec.convert(vector["message"], wire.Incoming)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01",
        msgspec.msgpack.encode({"later": 1}),
        msgspec.msgpack.encode({"generate": {"id": -1, "request": {"prompt": []}}}),
        msgspec.msgpack.encode({"generate": {"id": 1, "request": {"prompt": [-1]}}}),
        msgspec.msgpack.encode({"generate": {"id": 1, "request": {"prompt": "a"}}}),
    ],
)
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    with pytest.raises(wire.FrameError, match="no message of this protocol"):
        wire.unpack(data)


def test_frames_have_a_limit_both_ways() -> None:
    with pytest.raises(wire.FrameError, match="are allowed"):
        wire.length((wire.MAX_FRAME + 1).to_bytes(4, "little"))
    with pytest.raises(wire.FrameError, match="are allowed"):
        wire.pack("error", wire.Error(1, "failed", "a" * wire.MAX_FRAME))


def test_the_end_within_a_frame_is_an_end() -> None:
    async def read() -> wire.Incoming | None:
        reader = asyncio.StreamReader()
        reader.feed_data(wire.pack("cancel", [1])[:-1])
        reader.feed_eof()
        return await wire.receive(reader)

    assert asyncio.run(read()) is None


HELD = """\
import socket, sys
from mxfp4.engine import lifeline
lifeline.hold(socket.socket(fileno=int(sys.argv[1])))
print("held", flush=True)
# Holds the interpreter's lock for minutes, as MAX does while it loads.
sum(range(10**12))
"""


@pytest.mark.parametrize("before", [False, True])
def test_the_kernel_ends_a_process_that_is_busy(before: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if before:
            ours.close()
        child = subprocess.Popen(
            [sys.executable, "-c", HELD, str(theirs.fileno())],
            env=dict(os.environ) | {"PYTHONPATH": str(ROOT / "python")},
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
        )
        theirs.close()
        assert child.stdout is not None
        if not before:
            assert child.stdout.readline() == b"held\n"
            assert child.poll() is None
            ours.close()
        assert child.wait(PATIENCE) == -signal.SIGKILL
        child.stdout.close()


def test_without_a_front_end_the_process_ends(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cannot reach the front end at"):
        lifeline.connect(str(tmp_path / "nothing"))


def test_all_that_is_used_of_max_is_there() -> None:
    names.check_module()
    names.check()


def test_what_has_moved_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from max.serve.worker_interface.zmq_interface import ZmqModelWorkerProxy

    with monkeypatch.context() as patch:
        patch.delattr(ZmqModelWorkerProxy, "response_worker")
        with pytest.raises(
            names.MovedError, match=r"MAX 26.* has no .*\.response_worker, which"
        ):
            names.check()
    with monkeypatch.context() as patch:
        patch.setitem(
            names.FIELDS, "max.serve.scheduler_result.SchedulerResult", ("gone",)
        )
        with pytest.raises(names.MovedError, match="use --frontend max"):
            names.check()
    monkeypatch.setattr(names, "SERVE", "max._entrypoints.cli.serve.elsewhere")
    with pytest.raises(names.MovedError, match="elsewhere"):
        names.check_module()
    with pytest.raises(names.MovedError, match="request_queue"):
        names.check_proxy(SimpleNamespace())


def output(
    *tokens: int,
    status: GenerationStatus = GenerationStatus.ACTIVE,
    found: list[LogProbabilities] | None = None,
    cached: int | None = None,
) -> SchedulerResult[TextGenerationOutput]:
    made = TextGenerationOutput(
        request_id=RequestID("?"),
        tokens=list(tokens),
        final_status=status,
        log_probabilities=found,
        num_cached_tokens=cached,
    )
    return SchedulerResult.create(made, 1)


def pack(steps: Steps, **results: SchedulerResult[TextGenerationOutput]) -> wire.Step:
    named = {RequestID(name[1:]): result for name, result in results.items()}
    step, errors = steps.pack(named)
    assert not errors
    return step


def test_a_first_token_tells_what_was_cached_and_later_ones_are_single() -> None:
    steps = Steps()
    steps.begin(1, None)
    steps.begin(2, None)
    # The middle of a prompt makes nothing.
    assert pack(steps, _1=output()) == wire.Step()
    assert pack(steps, _1=output(7, cached=64)).rows == [wire.Row(1, [7], cached=64)]
    assert pack(steps, _1=output(8, cached=64), _2=output(5, cached=0)) == wire.Step(
        [1], [8], [wire.Row(2, [5], cached=0)]
    )
    # Several at once.
    assert pack(steps, _1=output(9, 10)).rows == [wire.Row(1, [9, 10])]
    assert steps.tokens == 5


@pytest.mark.parametrize(
    ("status", "finish"),
    [
        (GenerationStatus.END_OF_SEQUENCE, "stop"),
        (GenerationStatus.MAXIMUM_LENGTH, "length"),
        (GenerationStatus.CANCELLED, "cancelled"),
    ],
)
def test_an_end_has_its_reason(status: GenerationStatus, finish: str) -> None:
    steps = Steps()
    steps.begin(1, None)
    pack(steps, _1=output(7))
    found = pack(steps, _1=output(8, status=status))
    assert found.rows == [wire.Row(1, [8], finish)]
    assert not steps.live


def test_what_the_worker_ends_by_itself_ends() -> None:
    steps = Steps()
    steps.begin(1, None)
    steps.begin(2, None)
    found, errors = steps.pack(
        {
            RequestID("1"): SchedulerResult.cancelled(),
            RequestID("2"): SchedulerResult.failed("the grammar is at fault"),
        }
    )
    assert found.rows == [wire.Row(1, [], "cancelled")]
    assert errors == [wire.Error(2, "invalid", "the grammar is at fault")]
    assert not steps.live


def test_who_is_not_known_is_a_stray_until_its_end() -> None:
    steps = Steps()
    assert pack(steps, _1=output(7)) == wire.Step()
    assert (
        pack(steps, _2=output(7, status=GenerationStatus.END_OF_SEQUENCE))
        == wire.Step()
    )
    assert steps.strays == ["1"]


def test_log_probabilities_are_as_many_as_were_asked_for() -> None:
    steps = Steps()
    steps.begin(1, 2)
    steps.begin(2, 0)
    # The drawn token, 9, is none of the likeliest, and MAX names it all the same.
    found = [LogProbabilities([-4.0], [{5: -2.0, 6: -1.0, 9: -4.0}], [9])]
    rows = pack(steps, _1=output(9, found=found), _2=output(9, found=found)).rows
    assert rows[0].logprobs == [(9, -4.0, [(6, -1.0), (5, -2.0)])]
    assert rows[1].logprobs == [(9, -4.0, [])]
    # Every token of such a request has them.
    again = pack(steps, _1=output(9, found=found))
    assert again.rows == [wire.Row(1, [9], logprobs=rows[0].logprobs)]


@pytest.fixture(scope="module")
def contexts(checkpoint_folder: Path) -> Contexts:
    """Makes contexts of a model with sampling defaults of its own, and all features."""
    defaults = SamplingParamsGenerationConfigDefaults(
        temperature=0.5, top_p=0.75, do_sample=True, eos_token_id=[1004, 1014]
    )
    config = SimpleNamespace(
        model=SimpleNamespace(sampling_params_defaults=defaults),
        runtime=SimpleNamespace(temperature=None, top_k=40, thinking_temperature=None),
    )
    hello = wire.Hello(1, "26", "m", 100, 1024, [1004], 8, True, True, 20, True)
    tokenizer = TextTokenizer(str(checkpoint_folder), None, max_length=100)
    return Contexts(tokenizer, config, hello)


def made(contexts: Contexts, **asked: Any) -> TextContext:
    request = wire.Request(**({"prompt": [5, 6]} | asked))
    return asyncio.run(contexts.make("7", request))


def sampling(contexts: Contexts, **asked: Any) -> SamplingParams:
    return made(contexts, **asked).sampling_params


def test_what_is_not_said_is_the_model_s_own(contexts: Contexts) -> None:
    params = sampling(contexts)
    assert (params.temperature, params.top_p, params.top_k) == (0.5, 0.75, 40)
    assert sampling(contexts).seed != params.seed
    said = sampling(contexts, temperature=1.0, top_p=1.0, top_k=-1, min_p=0.1)
    assert (said.temperature, said.top_p, said.top_k, said.min_p) == (1, 1, -1, 0.1)


def test_a_request_s_wishes_reach_its_context(contexts: Contexts) -> None:
    context = made(
        contexts,
        max_tokens=20,
        min_tokens=3,
        seed=0,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        repetition_penalty=1.5,
        logprobs=5,
    )
    params = context.sampling_params
    assert (params.max_new_tokens, params.min_new_tokens, params.seed) == (20, 3, 0)
    assert (params.frequency_penalty, params.presence_penalty) == (0.5, -0.5)
    assert (params.repetition_penalty, context.log_probabilities) == (1.5, 5)
    assert (context.max_length, context.request_id) == (22, RequestID("7"))
    assert context.tokens.prompt.tolist() == [5, 6]
    # More rows than the tokenizer has names: MAX's worker must take them all.
    assert context.vocab_size == 1024
    # Without a number it is as long as there is room.
    assert made(contexts).max_length == 100
    # None of the likeliest still is the token's own.
    assert made(contexts, logprobs=0).log_probabilities == 1
    assert made(contexts).log_probabilities == 0


def test_end_tokens_and_stop_tokens(contexts: Contexts) -> None:
    def ends(**asked: Any) -> set[int]:
        return made(contexts, **asked).eos_tracker.eos_token_ids

    assert ends() == {1004, 1014}
    assert ends(stop_token_ids=[7]) >= {1004, 7}
    assert ends(ignore_eos=True) == set()
    assert ends(ignore_eos=True, stop_token_ids=[7]) == {7}
    # One request's are not another's.
    assert ends() == {1004, 1014}


def test_a_grammar_is_in_force_from_the_first_token(contexts: Contexts) -> None:
    context = made(contexts, grammar='{"type": "structural_tag"}')
    assert context.grammar == '{"type": "structural_tag"}'
    assert context.grammar_enforced and context.tools_forced
    assert not context.requires_structured_output_flag
    assert made(contexts).grammar is None


def test_a_budget_of_thinking_goes_with_the_grammar(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="needs a grammar"):
        made(contexts, thinking_token_budget=5)
    with pytest.raises(Refused, match="at most"):
        made(contexts, grammar="{}", thinking_token_budget=1_000_000_000)
    monkeypatch.setattr(registry, "is_applied", lambda _: False)
    with pytest.raises(Refused, match=r"for models of mxfp4\.gpt_oss"):
        made(contexts, grammar="{}", thinking_token_budget=5)
    monkeypatch.setattr(registry, "is_applied", lambda _: True)
    context = made(contexts, grammar='{"a": 1}', thinking_token_budget=5)
    assert context.grammar is not None
    assert bounds.without_budget(context.grammar) == ('{"a": 1}', 5)


def test_a_grammar_s_end_is_an_end(contexts: Contexts) -> None:
    context = made(contexts, grammar="{}", ignore_eos=True)
    assert context.eos_tracker.eos_token_ids
    assert not made(contexts, ignore_eos=True).eos_tracker.eos_token_ids
    with pytest.raises(Refused, match="together with a grammar"):
        made(contexts, grammar="{}", min_tokens=3, max_tokens=5)


@pytest.mark.parametrize(
    ("has_masks", "speculative", "wanted"),
    [(True, None, True), (False, None, False), (True, object(), False)],
)
def test_grammars_need_a_sampler_with_masks(
    has_masks: bool, speculative: Any, wanted: bool
) -> None:
    config = SimpleNamespace(
        needs_bitmask_constraints=has_masks, speculative=speculative
    )
    assert hello._has_masks(SimpleNamespace(delegate=None), config) is wanted
    assert not hello._has_masks(SimpleNamespace(), config)


def test_a_length_that_cannot_be_is_refused(contexts: Contexts) -> None:
    with pytest.raises(Refused, match="min_tokens"):
        made(contexts, max_tokens=2, min_tokens=3)
    with pytest.raises(Refused, match="the prompt has 100 tokens, which leaves no"):
        made(contexts, prompt=[5] * 100)
    assert made(contexts, prompt=[5] * 99).max_length == 100
