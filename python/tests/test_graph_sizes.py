"""Which decode steps are captured."""

from __future__ import annotations

import random
from typing import Any

import pytest
from max.pipelines.lib.graph_capture import ServeGraphCaptureRunner
from max.pipelines.lib.pipeline_variants import overlap_text_generation

from mxfp4.gpt_oss import graph_sizes


@pytest.mark.parametrize("seed", range(20))
def test_each_length_has_the_value_that_it_would_be_told(seed: int) -> None:
    draw = random.Random(seed)
    steps = sorted(draw.sample(range(2, 131_072), draw.randrange(6)))
    asked = []

    def ask(length: int) -> int:
        asked.append(length)
        return sum(length >= step for step in steps)

    ranges = graph_sizes.Ranges()
    # As MAX asks: the longest first.
    lengths = [131_072, *range(130_816, 0, -256), 1]
    found = [ranges.find(length, ask) for length in lengths]
    questions = len(asked)
    assert found == [ask(length) for length in lengths]
    assert questions <= 18 * (len(steps) + 1)


def test_max_s_limit_and_its_questions_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = ServeGraphCaptureRunner._resolve_graph_key
    monkeypatch.setattr(overlap_text_generation, graph_sizes.LIMIT, 128)
    asked = []

    def told(_: Any, *shape: int) -> tuple[int, ...]:
        asked.append(shape)
        batch, length, queries = shape
        return batch, length > 1000, queries

    monkeypatch.setattr(ServeGraphCaptureRunner, "_resolve_graph_key", told)
    graph_sizes.replace()
    runner: Any = object.__new__(ServeGraphCaptureRunner)
    for batch in 1, 512:
        for length in 4096, 1001, 1000, 1:
            key = runner._resolve_graph_key(batch, length, 1)
            assert key == (batch, length > 1000, 1)
    assert len(asked) < 2 * 30
    assert overlap_text_generation._MAX_GRAPH_CAPTURE_BATCH_SIZE == 512
    # It is replaced once.
    replaced = ServeGraphCaptureRunner._resolve_graph_key
    graph_sizes.replace()
    assert ServeGraphCaptureRunner._resolve_graph_key is replaced is not kept
