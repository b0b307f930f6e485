"""Measurements reach the metrics process in batches, and all of them."""

from __future__ import annotations

import asyncio
import pickle
import queue
from collections.abc import Iterator
from typing import Any

import pytest
from max.serve.telemetry import metrics
from max.serve.telemetry.metrics import MaxMeasurement
from max.serve.telemetry.process_controller import ProcessMetricClient

from mxfp4 import measurements

SENT = [
    MaxMeasurement("maxserve.itl", 1.5, {}, 1),
    MaxMeasurement("maxserve.ttft", 2, {}, 2),
    MaxMeasurement("maxserve.itl", 2.5, {}, 3),
    MaxMeasurement("maxserve.request_count", 1, {"code": "200"}, 4),
    MaxMeasurement("maxserve.num_requests_running", -1, None, 5),
]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessMetricClient]:
    """A client with the queue of one process, as it was afterwards."""
    name = "send_measurement"
    monkeypatch.setattr(ProcessMetricClient, name, getattr(ProcessMetricClient, name))
    measurements.install()
    yield ProcessMetricClient(queue.Queue())  # type: ignore[arg-type]


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was recorded."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        metrics, "_commit_measurement", lambda *each: found.append(each)
    )
    return found


def record(packets: list[list[Any]]) -> None:
    """Does what the metrics process does."""
    for packet in packets:
        for each in pickle.loads(pickle.dumps(packet)):
            each.commit()


def taken(client: ProcessMetricClient) -> list[list[Any]]:
    packets = []
    while not client.queue.empty():
        packets.append(client.queue.get())
    return packets


def test_those_of_a_moment_go_together(
    client: ProcessMetricClient, committed: list[tuple[Any, ...]]
) -> None:
    async def run() -> None:
        for each in SENT:
            client.send_measurement(each)
        while client.queue.empty():
            await asyncio.sleep(0.01)
        client.send_measurement(SENT[0])
        while client.queue.qsize() < 2:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 60))
    packets = taken(client)
    assert len(packets) == 2
    record(packets)
    wanted = [
        (each.instrument_name, each.value, each.attributes, each.time_unix_nano)
        for each in [*SENT, SENT[0]]
    ]
    key = str
    assert sorted(committed, key=key) == sorted(wanted, key=key)
    itl = [each for each in committed if each[0] == "maxserve.itl"]
    assert [each[3] for each in itl] == [1, 3, 1]


def test_outside_of_a_loop_they_go_at_once(client: ProcessMetricClient) -> None:
    client.send_measurement(SENT[0])
    assert taken(client) == [[SENT[0]]]


def test_a_transaction_is_a_packet(client: ProcessMetricClient) -> None:
    async def run() -> None:
        with client.transaction():
            client.send_measurement(SENT[0])
            client.send_measurement(SENT[1])

    asyncio.run(run())
    assert taken(client) == [SENT[:2]]
