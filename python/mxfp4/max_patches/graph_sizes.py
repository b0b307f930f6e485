"""Captures decode steps of up to `LARGEST` requests as device graphs.

MAX stops at 128. A larger batch is launched kernel by kernel, for which the worker's
thread takes longer than the GPU for the step. Graphs of large batches take longer to
capture, so beyond MAX's limit there is one for each `STEP` requests, and for the
largest batch; those between are launched as before.

A graph is captured once more where the attention kernel divides caches of some length
among more blocks. To find those lengths MAX asks for each multiple of 256 tokens. As
the number of blocks only grows with the length, halving finds them with a tenth of the
questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from max.pipelines.lib.graph_capture import ServeGraphCaptureRunner
from max.pipelines.lib.pipeline_variants import overlap_text_generation as overlap

from mxfp4.max_patches.patch import Patches

EACH = 128
"""Up to so many requests each batch has its graph: MAX's limit."""

STEP = 8
"""Beyond that, each multiple of this has, and the largest batch."""

LARGEST = 512
"""Requests of the largest graph: MAX's default batch."""

LIMIT = "_MAX_GRAPH_CAPTURE_BATCH_SIZE"


PATCHES = Patches()


@PATCHES.replace(overlap, LIMIT, "2747b7c718564ba5")
def _limit(_: int) -> int:
    return LARGEST


@PATCHES.replace(ServeGraphCaptureRunner, "_resolve_graph_key", "d7b2bb139f48bc4b")
def _resolve_graph_key(resolve: Any) -> Any:
    def resolve_by_range(
        self: Any, batch_size: int, cache_length: int, q_max_seq_len: int
    ) -> Any:
        ranges = self.__dict__.setdefault("_ranges", {})
        known = ranges.setdefault((batch_size, q_max_seq_len), Ranges())
        return known.find(
            cache_length,
            lambda length: resolve(self, batch_size, length, q_max_seq_len),
        )

    return resolve_by_range


@PATCHES.replace(ServeGraphCaptureRunner, "_probe_verify_widths", "e2b261fffff6062e")
def _probe_verify_widths(widths: Any) -> Any:
    def widths_of_captured(self: Any, batch_size: int) -> list[int]:
        captured = is_captured(batch_size, self._max_batch_size)
        return widths(self, batch_size) if captured else []

    return widths_of_captured


@PATCHES.replace(
    overlap.OverlapTextGenerationPipeline, "warmup_graph_capture", "e085e1c0f155c457"
)
def _warmup_graph_capture(warmup: Any) -> Any:
    def warmup_graph_capture(self: Any) -> None:
        warmup(self)
        self._max_graph_capture_batch_size = Captured(
            self._max_graph_capture_batch_size
        )

    return warmup_graph_capture


def is_captured(batch_size: int, largest: int) -> bool:
    """Says whether a batch has a graph, where the largest with one is `largest`."""
    steps = batch_size <= EACH or batch_size % STEP == 0
    return batch_size == largest or (batch_size < largest and steps)


class Captured(int):
    """The largest batch with a graph, which MAX compares batches with.

    A smaller one without a graph is told to be too large.
    """

    def __ge__(self, batch_size: int) -> bool:
        return is_captured(batch_size, int(self))


class Ranges:
    """What a function of lengths returns, where each value has one range of them."""

    def __init__(self) -> None:
        self._known: list[tuple[int, int, Any]] = []

    def find(self, length: int, ask: Callable[[int], Any]) -> Any:
        """Returns the function's value, and asks for it where it is not known."""
        for first, last, value in self._known:
            if first <= length <= last:
                return value
        value = ask(length)
        low, high = 0, length
        # `high` has the value, and `low` has not.
        while high - low > 1:
            middle = (low + high) // 2
            if ask(middle) == value:
                high = middle
            else:
                low = middle
        self._known.append((high, length, value))
        return value
