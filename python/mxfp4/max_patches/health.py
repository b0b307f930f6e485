"""Tells of logits that cannot be: not finite, or all the same.

The model's graph counts such rows on the first device (`custom.logits.health`), at the
end of its signal buffer, which every step of the model has already and which is made
longer for it. Here the counts are copied to the host now and then, on the device's
own queue, and looked at when the copy is done; no step waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from max.driver import Buffer, Usage
from max.dtype import DType
from max.nn.comm import Signals
from max.serve.telemetry.metrics import METRICS

from mxfp4.max_patches.measurement import Count
from mxfp4.max_patches.patch import Patches

logger = logging.getLogger("max.pipelines.mxfp4")

COUNT_BYTES = 16
"""What the counts take at the buffer's end: two of them, and room for two more."""

INTERVAL = 5.0
"""Seconds between two looks, and so between two lines of the log at least."""

COUNTS = (
    (
        "mxfp4.logits.not_finite",
        "Rows of logits with a value that is not finite (NaN or infinity)",
    ),
    ("mxfp4.logits.all_equal", "Rows of logits whose values are all the same"),
)

ADVICE = (
    "the tokens drawn from them mean nothing. Look at the model's files first; if they "
    "are whole, restart (the self-check tells a kernel that is wrong) and report it"
)


PATCHES = Patches()


@PATCHES.replace(Signals, "NUM_BYTES", "7af9a1beb253d6d8", follows=(Signals,))
def _make_room(size: int) -> int:
    """Makes signal buffers longer by the counts, which so stand behind all that GPUs
    signal each other through.
    """
    return size + COUNT_BYTES


class Watch:
    """Looks at the counts at the end of a buffer."""

    def __init__(
        self, buffer: Buffer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        counts = buffer[buffer.shape[0] - COUNT_BYTES : buffer.shape[0]]
        self._counts = counts.view(DType.uint32, (COUNT_BYTES // 4,))
        device = buffer.device
        # Pinned, so that the copy is asynchronous.
        usage = Usage.DEFAULT if device.is_host else Usage.STAGING | Usage.UNTRACKED
        self._copy = Buffer(DType.uint32, [COUNT_BYTES // 4], device, usage)
        self._copied: Any = None
        self._seen = np.zeros(len(COUNTS), np.uint32)
        self._clock = clock
        self._next = clock() + INTERVAL

    def step(self) -> None:
        """Looks, if it is time."""
        now = self._clock()
        if now < self._next:
            return
        if self._copied is not None:
            if not self._copied.is_ready():
                return
            self._tell(self._copy.to_numpy()[: len(COUNTS)].copy())
        self._copy.inplace_copy_from(self._counts)
        self._copied = self._counts.device.default_queue.record_event()
        self._next = now + INTERVAL

    def _tell(self, counts: np.ndarray) -> None:
        # The counts are unsigned and may come round; the difference is right all the
        # same.
        news = counts - self._seen
        self._seen = counts
        for number, (name, meaning) in zip(news.tolist(), COUNTS, strict=True):
            if number:
                logger.error("%s: %d since the last look; %s", meaning, number, ADVICE)
                METRICS.client.send_measurement(Count(name, number, meaning))
