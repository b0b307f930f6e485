"""Captures decode steps of up to `LARGEST` requests as device graphs.

MAX stops at 128. A larger batch is launched kernel by kernel, for which the worker's
thread takes longer than the GPU for the step.

A graph is captured for each number of requests, and once more where the attention
kernel divides caches of some length among more blocks. To find those lengths MAX asks
for each multiple of 256 tokens. As the number of blocks only grows with the length,
halving finds them with a tenth of the questions.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Any

from max.pipelines.lib.graph_capture import ServeGraphCaptureRunner
from max.pipelines.lib.pipeline_variants import overlap_text_generation

from mxfp4.gpt_oss.worker_process import MAX, is_child

LARGEST = 512
"""Requests of the largest graph: MAX's default batch."""

LIMIT = "_MAX_GRAPH_CAPTURE_BATCH_SIZE"

logger = logging.getLogger("max.pipelines.mxfp4")


def install() -> None:
    """Does so in a process that another one started, with MAX as it is known."""
    if not is_child() or version("max") != MAX:
        return
    replace()


def replace() -> None:
    """Does so in this process."""
    found = ServeGraphCaptureRunner._resolve_graph_key
    if found.__module__ == __name__:
        return
    setattr(overlap_text_generation, LIMIT, LARGEST)

    def resolve(
        self: Any, batch_size: int, cache_length: int, q_max_seq_len: int
    ) -> Any:
        ranges = self.__dict__.setdefault("_ranges", {})
        known = ranges.setdefault((batch_size, q_max_seq_len), Ranges())
        return known.find(
            cache_length, lambda length: found(self, batch_size, length, q_max_seq_len)
        )

    ServeGraphCaptureRunner._resolve_graph_key = resolve  # type: ignore[method-assign]


class Ranges:
    """What a function of lengths returns, where each value has one range of them."""

    def __init__(self) -> None:
        self._known: list[tuple[int, int, Any]] = []

    def find(self, length: int, ask: Any) -> Any:
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
