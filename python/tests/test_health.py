"""Logits that cannot be: what the graph is told, what the host makes of the counts."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.dtype import DType
from max.graph import BufferType, DeviceRef, Graph, TensorType
from max.serve.telemetry.metrics import METRICS, MetricClient

from mxfp4.kernels import custom_extensions, guard, ops
from mxfp4.max_patches import health
from mxfp4.max_patches.measurement import Count

GPU = DeviceRef.GPU()


class Recorder(MetricClient):
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    def send_measurement(self, metric: Count) -> None:
        self.sent.append((metric.instrument_name, metric.value))

    def cross_process_factory(self, settings: object) -> None:
        raise NotImplementedError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    client = Recorder()
    monkeypatch.setattr(METRICS, "client", client)
    return client


class Model:
    """A buffer as the model has it, whose counts a test sets, and steps in time."""

    def __init__(self) -> None:
        self.buffer = Buffer.zeros(shape=(64,), dtype=DType.uint8, device=CPU())
        self.counts = self.buffer.to_numpy()[48:].view(np.uint32)
        self.clock = Clock()
        self.watch = health.Watch(self.buffer, self.clock)

    def step(self, seconds: float = health.INTERVAL) -> None:
        self.clock.now += seconds
        self.watch.step()

    def settle(self) -> None:
        """Steps until what the counts are now has been told."""
        for _ in range(3):
            # A copy that is not there yet is waited for until the next step.
            for _ in range(1000):
                before = self.watch._next
                self.step()
                if self.watch._next != before:
                    break
                time.sleep(0.01)


def test_healthy_logits_say_nothing(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model()
    # What stands before the counts is none of them.
    model.buffer.to_numpy()[:48] = 255
    model.settle()
    assert recorder.sent == [] and caplog.records == []


def test_growth_is_told_once(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model()
    model.counts[0] = 3
    model.settle()
    assert recorder.sent == [("mxfp4.logits.not_finite", 3)]
    model.counts[:2] = (5, 1)
    model.settle()
    assert recorder.sent[1:] == [
        ("mxfp4.logits.not_finite", 2),
        ("mxfp4.logits.all_equal", 1),
    ]
    first, *_ = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "not finite (NaN or infinity): 3 since the last look" in first.message
    assert len(caplog.records) == 3


def test_a_flood_is_one_line_for_an_interval(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model()
    for _ in range(100):
        model.counts[0] += 1
        model.step(health.INTERVAL / 50)
    assert len(caplog.records) <= 2
    assert len(recorder.sent) <= 2


def test_counts_that_come_round_are_still_right(recorder: Recorder) -> None:
    model = Model()
    model.counts[0] = 2**32 - 1
    model.settle()
    model.counts[0] = 4
    model.settle()
    assert recorder.sent[1:] == [("mxfp4.logits.not_finite", 5)]


def test_a_counter_of_ours_reaches_prometheus_in_another_process() -> None:
    """The process of MAX's metrics, which has never heard of it."""
    program = """
import pickle, sys
from max.serve.config import Settings
from max.serve.telemetry.common import configure_metrics
configure_metrics(Settings())
for _ in range(2):
    pickle.loads(bytes.fromhex(sys.argv[1])).commit()
import prometheus_client
print(prometheus_client.generate_latest().decode())
"""
    sent = pickle.dumps(Count("mxfp4.logits.not_finite", 3, "Rows")).hex()
    run = subprocess.run(
        [sys.executable, "-c", program, sent],
        # MAX changes the process's own environment behind Python's back.
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "mxfp4_logits_not_finite_total 6.0" in run.stdout


def test_the_op_takes_logits_and_a_buffer_of_bytes(
    kernel_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(custom_extensions.VARIABLE, str(kernel_package))
    with Graph(
        "health",
        input_types=[
            TensorType(DType.float32, ("rows", 1024), GPU),
            BufferType(DType.uint8, (64,), GPU),
            TensorType(DType.bfloat16, ("rows", 1024), GPU),
            BufferType(DType.float32, (64,), GPU),
        ],
        custom_extensions=guard.require_package(),
    ) as graph:
        logits, buffer, half, floats = graph.inputs
        ops.count_broken(logits.tensor, buffer.buffer)
        with pytest.raises(ValueError, match="logits must be float32, got bfloat16"):
            ops.count_broken(half.tensor, buffer.buffer)
        with pytest.raises(ValueError, match="the buffer must be uint8 with one dim"):
            ops.count_broken(logits.tensor, floats.buffer)
        graph.output(logits)
