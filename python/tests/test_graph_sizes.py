"""Which decode steps are captured."""

from __future__ import annotations

import dataclasses
import inspect
import random
from typing import Any

import pytest
from max.pipelines.lib.graph_capture import ServeGraphCaptureRunner
from max.pipelines.lib.pipeline_variants import overlap_text_generation as overlap

from mxfp4.max_patches import graph_sizes, registry


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


def test_a_batch_without_a_graph_is_too_large() -> None:
    limit: int = graph_sizes.Captured(500)
    graphs = [batch for batch in range(1, 600) if batch <= limit]
    assert graphs == [*range(1, 129), *range(136, 500, 8), 500]
    assert limit == 500


def test_max_s_limit_and_its_questions_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner_class: Any = ServeGraphCaptureRunner
    pipeline_class: Any = overlap.OverlapTextGenerationPipeline
    asked = []

    def told(_: Any, *shape: int) -> tuple[int, ...]:
        asked.append(shape)
        batch, length, queries = shape
        return batch, length > 1000, queries

    def warmup(self: Any) -> None:
        self._max_graph_capture_batch_size = 256

    # What stands there is not MAX's, so its source is not asked for.
    monkeypatch.setattr(overlap, graph_sizes.LIMIT, 128)
    monkeypatch.setattr(runner_class, "_resolve_graph_key", told)
    monkeypatch.setattr(runner_class, "_probe_verify_widths", lambda *_: [0])
    monkeypatch.setattr(pipeline_class, "warmup_graph_capture", warmup)
    with_hashes = [
        dataclasses.replace(
            patch,
            source_hash=patch.digest(inspect.getattr_static(patch.owner, patch.name)),
        )
        for patch in graph_sizes.PATCHES
    ]
    monkeypatch.setattr(graph_sizes, "PATCHES", with_hashes)
    assert registry.apply("graph_sizes").kind is registry.Kind.APPLIES

    runner: Any = object.__new__(ServeGraphCaptureRunner)
    runner._max_batch_size = 300
    for batch in 1, 512:
        for length in 4096, 1001, 1000, 1:
            key = runner._resolve_graph_key(batch, length, 1)
            assert key == (batch, length > 1000, 1)
    assert len(asked) < 2 * 30
    assert [runner._probe_verify_widths(size) for size in (7, 129, 136, 300)] == [
        [0],
        [],
        [0],
        [0],
    ]
    assert overlap._MAX_GRAPH_CAPTURE_BATCH_SIZE == 512

    pipeline: Any = object.__new__(pipeline_class)
    pipeline.warmup_graph_capture()
    limit = pipeline._max_graph_capture_batch_size
    assert [size <= limit for size in (128, 129, 256, 264)] == [
        True,
        False,
        True,
        False,
    ]
    # It is replaced once.
    replaced = runner_class._resolve_graph_key
    registry.apply("graph_sizes")
    assert runner_class._resolve_graph_key is replaced
    registry.undo("graph_sizes")
    assert runner_class._resolve_graph_key is told
