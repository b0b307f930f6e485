"""A server whose steps are made at once for a batch answers as MAX's own does.

Each test serves the same requests twice, with MAX as it is and with what is replaced,
and compares all that the device reads, all that is sent and all that is measured.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from max.pipelines.context import SamplingParams
from max.pipelines.context.eos_tracking import EOSTracker
from max.pipelines.modeling.types import RequestID
from max.pipelines.modeling.types.utils.serialization import msgpack_numpy_oob_encoder
from max.serve.telemetry.metrics import METRICS, MaxMeasurement, MetricClient

from mxfp4 import served  # noqa: F401
from mxfp4.max_patches import decode_steps, registry
from mxfp4.max_patches.catalog import LEAN
from test_worker_process import as_it_was, make_lean, state_of  # noqa: F401
from worker import VOCABULARY, Outbox, Worker, devices

History = list[Any]

TIMES = ("time", "throughput")
"""What the names of measurements have that differ each time."""


class Client(MetricClient):
    def __init__(self) -> None:
        self.sent: list[MaxMeasurement] = []

    def send_measurement(self, m: MaxMeasurement) -> None:
        self.sent.append(m)

    def cross_process_factory(self, settings: Any) -> Any:
        raise NotImplementedError


def random_request(rng: random.Random, prompts: list[list[int]]) -> dict[str, Any]:
    prompt = rng.choice(prompts)[: rng.randrange(1, 400)]
    fields: dict[str, Any] = {
        "prompt": prompt + [rng.randrange(1, 99) for _ in range(rng.randrange(1, 90))],
        "max_length": rng.choice([600, 800, 1024]),
        "eos_tracker": EOSTracker(
            eos_token_ids=set(rng.sample(range(VOCABULARY), rng.choice([0, 2, 5]))),
            eos_sequences=rng.choice([[], [], [[each] for each in range(40)]]),
        ),
    }
    fields["sampling_params"] = SamplingParams(
        seed=rng.randrange(2**40),
        **(
            {}
            if rng.random() < 0.5
            else {
                "temperature": rng.choice([0.5, 1.0]),
                "top_k": rng.choice([-1, 1, 40]),
                "top_p": rng.choice([1.0, 0.9]),
                "min_p": rng.choice([0.0, 0.1]),
            }
        ),
    )
    if rng.random() < 0.1:
        fields["log_probabilities"] = 2
    return fields


def serve(seed: int, pages: int, *, steps: int = 400, **config: Any) -> History:
    """Serves random requests: too many for the pages, ended and cancelled."""
    rng = random.Random(seed)
    seen: list[Any] = []
    outbox, client = Outbox(msgpack_numpy_oob_encoder()), Client()
    before = METRICS.client
    METRICS.configure(client)
    history: History = []
    prompts = [[rng.randrange(1, 99) for _ in range(400)] for _ in range(3)]
    try:
        with devices():
            worker = Worker(outbox=outbox, batch=8, pages=pages, seen=seen, **config)
            scheduler, requests = worker.scheduler, {}
            for step in range(steps):
                # Now and then everybody goes on for a while.
                if step % 150 < 60 and len(requests) < 12 and rng.random() < 0.2:
                    name = f"request {step}"
                    requests[name] = worker.add(name, **random_request(rng, prompts))
                if requests and rng.random() < 0.01:
                    worker.cancelled.put([RequestID(rng.choice(list(requests)))])
                if rng.random() < 0.01:
                    worker.kv.reset_prefix_cache()
                history.append(worker.step())
                bound = scheduler.batch_constructor._bound_requests
                requests = {
                    name: ctx
                    for name, ctx in requests.items()
                    if scheduler.batch_constructor.contains(RequestID(name))
                    or ctx.tokens.generated_length == 0
                }
                history.append([each.value for each in bound])
                history.append(list(scheduler.batch_constructor.replicas[0].tg_reqs))
                claimed = [
                    ctx
                    for ctx in requests.values()
                    if ctx.request_id in worker.kv._requests
                ]
                for ctx in claimed:
                    # Made when somebody asks for it.
                    ctx.spec_decoding_state  # noqa: B018
                history.append(state_of(worker.kv, claimed))
                history.append([*seen])
                history.append([*outbox.sent])
                history.append(
                    [
                        (each.instrument_name, each.value, each.attributes)
                        for each in client.sent
                        if not any(time in each.instrument_name for time in TIMES)
                    ]
                )
                for part in (seen, outbox.sent, client.sent):
                    part.clear()
            history.append(scheduler.batch_constructor.total_preemption_count)
    finally:
        METRICS.configure(before)
    return history


def twice(run: Callable[[], History], replace: Callable[[], Any]) -> History:
    wanted = run()
    replace()
    for step, (theirs, ours) in enumerate(zip(wanted, run(), strict=True)):
        assert theirs == ours, f"part {step}"
    return wanted


CONFIGS: list[dict[str, Any]] = [
    {"pages": 200},
    {"pages": 24},
    {"pages": 24, "most": 100},
    {"pages": 40, "most": 64, "enable_in_flight_batching": True},
    {"pages": 60, "max_batch_total_tokens": 2000},
]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_server_answers_the_same(config: dict[str, Any], seed: int) -> None:
    history = twice(lambda: serve(seed, **config), make_lean)
    # There was something to compare: answers, and with few pages preemptions.
    assert sum(map(len, history[5::7])) > 100
    assert history[-1] > 0 or config["pages"] > 24


def _serve_elsewhere(found: Any) -> None:
    found.put((serve(3, 40), registry.is_applied("decode_steps")))


def test_the_variable_alone_makes_the_difference() -> None:
    spawn = multiprocessing.get_context("spawn")

    def run(lean: str) -> tuple[History, bool]:
        os.environ[LEAN] = lean
        found = spawn.Queue()
        other = spawn.Process(target=_serve_elsewhere, args=(found,))
        other.start()
        try:
            history: tuple[History, bool] = found.get(timeout=300)
        finally:
            other.join()
        return history

    before = os.environ.get(LEAN)
    try:
        (theirs, without), (ours, with_it) = run("0"), run("1")
    finally:
        os.environ.pop(LEAN)
        if before is not None:
            os.environ[LEAN] = before
    assert (without, with_it) == (False, True)
    assert theirs == ours


def test_most_steps_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """MAX's code for each request runs when a page fills, and hardly otherwise."""
    make_lean()
    calls = 0
    own = decode_steps.JengaKVCacheManager.step

    def step(self: Any, ctx: Any) -> None:
        nonlocal calls
        calls += 1
        own(self, ctx)

    monkeypatch.setattr(decode_steps.JengaKVCacheManager, "step", step)
    with devices():
        worker = Worker(outbox=Outbox(msgpack_numpy_oob_encoder()), batch=8, pages=100)
        for each in range(8):
            worker.add(f"request {each}", [each + 1] * 100)
        for _ in range(256):
            worker.step()
    # When each begins, and twice a page: its last token is known a step later.
    assert 8 * 3 <= calls <= 8 * 8


@pytest.fixture(autouse=True)
def _put_back(as_it_was: Iterator[None]) -> None:  # noqa: F811
    """Of what a test replaces nothing is left."""
