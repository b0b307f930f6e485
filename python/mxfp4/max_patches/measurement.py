"""Counters of ours among MAX's metrics.

MAX's metrics live in a process of their own, which knows MAX's names alone. What is
sent there is pickled and commits itself, so one that makes its counter first works
there too; that process imports this module to unpickle it.
"""

from __future__ import annotations

from max.serve.telemetry import metrics
from max.serve.telemetry.metrics import MaxMeasurement


class Count(MaxMeasurement):
    """An increment of a counter that MAX does not know."""

    def __init__(self, name: str, value: int, meaning: str) -> None:
        super().__init__(name, value)
        self._meaning = meaning

    def commit(self) -> None:
        """Adds to the counter, which is made at the first time."""
        if self.instrument_name not in metrics.SERVE_METRICS:
            metrics.SERVE_METRICS[self.instrument_name] = metrics._meter.create_counter(
                self.instrument_name, description=self._meaning
            )
        super().commit()
