"""MAX's real server with the engine's socket in place of HTTP.

A virtual Hopper takes the place of the GPU and MAX's dummy model, which repeats the
prompt, that of GPT-OSS.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from front_end import FrontEnd
from mxfp4.engine import wire
from server import PATIENCE

pytestmark = pytest.mark.job(first=True)

BATCH = 4
STEP = 0.005
PACED = f"""
def echo(module):
    import time
    generator = module.EchoTokenGenerator
    begin, execute = generator.__init__, generator.execute

    def __init__(self):
        begin(self)
        self._max_batch_size = {BATCH}

    def paced(self, inputs):
        time.sleep({STEP})
        return execute(self, inputs)

    generator.__init__, generator.execute = __init__, paced


CHANGES["max.serve.pipelines.echo_gen"] = echo
"""
"""The dummy model takes so many at once, and so long for a step."""

ENDED = 2.0
"""Seconds after which nothing may be left when one side has died."""


@pytest.fixture(scope="module")
def start(
    tmp_path_factory: pytest.TempPathFactory,
    checkpoint_folder: Path,
    kernel_package: Path,
) -> Any:
    """Starts MAX."""

    def start(
        change: str = PACED, flags: tuple[str, ...] = (), **variables: str
    ) -> FrontEnd:
        home = tmp_path_factory.mktemp("engine")
        return FrontEnd(
            home, checkpoint_folder, kernel_package, change, flags, **variables
        )

    return start


@pytest.fixture(scope="module")
def engine(start: Any) -> Iterator[FrontEnd]:
    """An engine at which four requests wait, and about as many on the way."""
    with start(
        MAX_SERVE_MAX_PENDING_REQUESTS="4", MAX_SERVE_MAX_QUEUE_SIZE="2"
    ) as running:
        running.hello = running.ready()
        yield running


def metric(engine: FrontEnd, name: str) -> float:
    """The sum of a metric's values."""
    import urllib.request

    url = f"http://127.0.0.1:{engine.metrics_port}/metrics"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    lines = opener.open(url, timeout=PATIENCE).read().decode().splitlines()
    found = [line.split() for line in lines if line.startswith(name)]
    return sum(float(words[-1]) for words in found)


def until(is_so: Any) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_it_says_what_it_is(engine: Any) -> None:
    said = engine.hello
    assert said["protocol"] == wire.PROTOCOL
    assert said["max_length"] == 131_072
    assert (said["vocabulary"], said["end_tokens"]) == (1024, [1004])
    assert said["max_logprobs"] == 20
    assert not said["penalties"] and not said["min_tokens"] and not said["grammar"]


def test_no_port_is_open_for_requests(engine: FrontEnd) -> None:
    assert "Server ready on" not in engine.log()
    own = set()
    for entry in Path(f"/proc/{engine.process.pid}/fd").iterdir():
        try:
            own.add(os.readlink(entry))
        except OSError:
            continue
    listening = []
    for file in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in own:
                listening.append(words[1])
    assert listening == []


def test_answers_come_whole_and_apart(engine: FrontEnd) -> None:
    prompts = [list(range(first, first + 30)) for first in range(1, 5)]
    while prompts:
        numbers = [engine.ask(prompt, max_tokens=40) for prompt in prompts]
        made = engine.answers(*numbers)
        refused = []
        for number, prompt in zip(numbers, prompts, strict=True):
            # On a busy machine the last may come while the others still wait.
            if made[number].get("kind") == "full":
                refused.append(prompt)
                continue
            assert made[number]["tokens"] == prompt
            assert made[number]["finish"] == "stop"
        assert len(refused) < len(prompts)
        prompts = refused


def test_an_answer_is_cut_at_its_length(engine: FrontEnd) -> None:
    answer = engine.answer([5, 6, 7], max_tokens=2)
    assert (answer["tokens"], answer["finish"]) == ([5, 6], "length")


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"prompt": []}, "the prompt is empty"),
        ({"prompt": [1] * 131_072}, "leaves no room"),
        ({"prompt": [1] * 140_000}, "leaves no room"),
        ({"prompt": [1, 1024]}, "the prompt has token 1024; the model has 1024"),
        ({"temperature": 7.0}, "temperature must be in"),
        ({"temperature": float("nan")}, "temperature must be in"),
        ({"top_p": 1.5}, "top_p must be in"),
        ({"top_p": float("nan")}, "top_p and min_p must be in"),
        ({"min_p": float("nan")}, "top_p and min_p must be in"),
        ({"top_k": -2}, "top_k must be"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"min_tokens": 1}, "--enable-min-tokens"),
        ({"presence_penalty": 0.5}, "--enable-penalties"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be"),
        ({"logprobs": 21}, "logprobs is 21, and may be at most"),
        ({"grammar": "{}"}, "grammars are not supported"),
    ],
)
def test_a_bad_request_is_refused_by_name(
    engine: FrontEnd, request_: dict[str, Any], says: str
) -> None:
    answer = engine.answer(**({"prompt": [1]} | request_))
    assert answer["kind"] == "invalid"
    assert says in answer["message"]


def test_what_has_no_effect_is_taken(engine: FrontEnd) -> None:
    answer = engine.answer(
        [5, 6],
        seed=0,
        min_tokens=0,
        presence_penalty=0.0,
        repetition_penalty=1.0,
        top_k=-1,
        temperature=0.0,
    )
    assert answer["finish"] == "stop"
    assert engine.answer([5, 6], seed=2**64 - 1)["finish"] == "stop"


def test_a_full_queue_is_said_at_once(engine: FrontEnd) -> None:
    # Short ones would find room in the buffers of MAX's own sockets.
    numbers = [engine.ask([1] * 20_000, max_tokens=100) for _ in range(60)]
    made = engine.answers(*numbers)
    ends = Counter(one.get("kind", one.get("finish")) for one in made.values())
    assert set(ends) == {"length", "full"} and ends["length"] >= BATCH
    # It goes on afterwards.
    assert engine.answer([5, 6])["tokens"] == [5, 6]


def test_a_cancelled_request_ends_within_a_step(engine: FrontEnd) -> None:
    steps = metric(engine, "maxserve_batch_size_count")
    number = engine.ask([7] * 20_000, max_tokens=20_000)
    for name, content in engine.messages():
        if name == "row" and content["id"] == number:
            break
    engine.engine.send("cancel", [number])
    sent = time.monotonic()
    # It took one of the places of a batch; the others are not slower for it.
    assert engine.answer([5, 6])["tokens"] == [5, 6]
    assert time.monotonic() - sent < 100 * STEP + 1
    until(lambda: metric(engine, "maxserve_num_requests_running") == 0)
    before = metric(engine, "maxserve_batch_size_count")
    time.sleep(20 * STEP)
    assert metric(engine, "maxserve_batch_size_count") == before
    assert before - steps < 10_000


def test_requests_that_wait_are_cancelled_too(engine: FrontEnd) -> None:
    # They fill the batch, the waiting room and the queue, and the cancellations come
    # while some are on the way to the worker.
    numbers = [engine.ask([7] * 20_000, max_tokens=20_000) for _ in range(8)]
    engine.engine.send("cancel", numbers)
    begun = time.monotonic()
    while engine.answer([5, 6]).get("kind") == "full":
        assert time.monotonic() - begun < 20
        time.sleep(0.1)
    until(lambda: metric(engine, "maxserve_num_requests_running") == 0)


def test_cancelling_what_is_not_there_does_nothing(engine: FrontEnd) -> None:
    engine.engine.send("cancel", [engine.last, 2**40])
    assert engine.answer([5, 6])["tokens"] == [5, 6]


def test_tokens_are_counted_in_max_s_own_metrics(engine: FrontEnd) -> None:
    told = ["maxserve_num_input_tokens", "maxserve_num_output_tokens"]
    time.sleep(3)
    before = [metric(engine, name) for name in told]
    assert engine.answer([5, 6, 7, 8], max_tokens=3)["finish"] == "length"
    until(lambda: metric(engine, told[1]) >= before[1] + 3)
    assert [metric(engine, name) for name in told] == [before[0] + 4, before[1] + 3]


def test_sigterm_ends_it_as_it_ends_max(engine: FrontEnd) -> None:
    engine.process.send_signal(signal.SIGTERM)
    with pytest.raises(EOFError):
        engine.engine.receive()
    assert engine.process.wait(30) == 128 + signal.SIGTERM
    engine.await_none(ENDED)


def test_a_killed_worker_ends_it_with_1(start: Any) -> None:
    with start() as engine:
        engine.ready()
        number = engine.ask([7] * 20_000, max_tokens=20_000)
        next(engine.messages())
        [worker, *_] = [
            pid
            for pid in engine.left()
            if "multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_text()
            and "model_worker" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        os.kill(worker, signal.SIGKILL)
        begun = time.monotonic()
        with pytest.raises(EOFError):
            engine.answers(number)
        assert time.monotonic() - begun < ENDED
        assert engine.process.wait(30) == 1
        engine.await_none(ENDED)


def test_nothing_is_left_when_the_main_process_is_killed(start: Any) -> None:
    with start() as engine:
        engine.ready()
        engine.ask([7] * 20_000, max_tokens=20_000)
        next(engine.messages())
        assert len(engine.left()) >= 3
        engine.process.kill()
        engine.process.wait()
        engine.await_none(ENDED)


def test_nothing_is_left_when_the_front_end_dies(start: Any) -> None:
    with start() as engine:
        engine.ready()
        engine.ask([7] * 20_000, max_tokens=20_000)
        next(engine.messages())
        # The kernel does as much for a process that is killed.
        for peer in engine.peers:
            peer.link.close()
        assert engine.process.wait(ENDED) == -signal.SIGKILL
        engine.await_none(ENDED)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 3.0])
def test_nothing_is_left_when_the_front_end_dies_early(
    start: Any, seconds: float
) -> None:
    with start() as engine:
        engine.welcome()
        time.sleep(seconds)
        engine.peers[0].link.close()
        assert engine.process.wait(ENDED) == -signal.SIGKILL
        engine.await_none(ENDED)


def test_another_version_is_refused_by_name(start: Any) -> None:
    with start() as engine:
        assert engine.welcome(protocol=9) == {"protocol": wire.PROTOCOL}
        assert engine.process.wait(30) == 1
        assert "version 9 of the protocol and this package version 1" in engine.log()
        engine.await_none(ENDED)


def test_a_front_end_that_does_not_read_is_given_up(start: Any) -> None:
    small = """
def server(module):
    module.UNREAD = 1 << 14


CHANGES["mxfp4.engine.server"] = server
"""
    with start(small) as engine:
        engine.ready()
        for _ in range(4):
            engine.ask([7] * 100_000, max_tokens=100_000)
        assert engine.process.wait(PATIENCE) == 1
        assert "the front end does not read: " in engine.log()
        engine.await_none(ENDED)


def test_grammars_are_tried_before_their_requests_are_admitted(start: Any) -> None:
    """The dummy model has no masks; what the sampler does is for `test_masks`."""

    def tag(**form: Any) -> str:
        return json.dumps({"type": "structural_tag", "format": form})

    with start(flags=("--enable-structured-output",)) as engine:
        assert engine.ready()["grammar"]
        slow = tag(type="regex", pattern="[a-z]{1,900}x" * 50)
        waiting = engine.ask([1, 2], grammar=slow)
        given_up = engine.ask([1, 2], grammar=tag(type="regex", pattern="[b-z]+"))
        engine.engine.send("cancel", [given_up])
        free = engine.ask([3, 4], max_tokens=2)
        _, first = next(engine.messages())
        assert first["id"] == free
        bad = engine.ask([1], grammar=tag(type="regex", pattern="(a"))
        large = engine.ask([1], grammar="{}", thinking_token_budget=10**9)
        alone = engine.ask([1], thinking_token_budget=1)
        kept = engine.ask([5, 6], grammar=tag(type="regex", pattern="[a-z]+"))
        found = engine.answers(waiting, bad, large, alone, kept)
        assert found[kept]["tokens"] == [5, 6]
        errors = [found[number] for number in (bad, large, alone)]
        assert {error["kind"] for error in errors} == {"invalid"}
        says = [error["message"] for error in errors]
        assert says[0].startswith("the grammar cannot be used: ")
        assert says[1].startswith("thinking_token_budget may be at most")
        assert says[2] == "thinking_token_budget needs a grammar"
        assert found[waiting].get("kind", "invalid") == "invalid"
        # Nothing was said of the one that was given up.
        said = engine.answer([7], max_tokens=1)
        assert said["tokens"] == [7]
        [trying] = engine.named("mxfp4.engine.grammar_process")
        os.kill(engine.process.pid, signal.SIGTERM)
        assert engine.process.wait(PATIENCE) == 143
        until(lambda: not Path(f"/proc/{trying}").exists())
