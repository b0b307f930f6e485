"""Hands the server's measurements to MAX's metrics process in batches.

MAX pickles each measurement and writes it to a pipe by itself, two for every token of
every stream. Here those of a moment go together, of each instrument its numbers and
their times.

The metrics process imports this file to read them, so it needs little itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

from max.serve.telemetry.metrics import MaxMeasurement
from max.serve.telemetry.process_controller import ProcessMetricClient

MOMENT = 0.02
"""Seconds that measurements wait for others."""


class Series:
    """Measurements of one instrument, with no attributes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: list[Any] = []
        self.times: list[int] = []

    def commit(self) -> None:
        """Records each as MAX does."""
        for value, time in zip(self.values, self.times, strict=True):
            MaxMeasurement(self.name, value, {}, time).commit()


def in_series(measurements: list[Any]) -> list[Any]:
    """Returns what records the same as `measurements`."""
    series: dict[str, Series] = {}
    others = []
    for each in measurements:
        if type(each) is not MaxMeasurement or each.attributes != {}:
            others.append(each)
            continue
        found = series.get(each.instrument_name)
        if found is None:
            found = series[each.instrument_name] = Series(each.instrument_name)
        found.values.append(each.value)
        found.times.append(each.time_unix_nano)
    return [*series.values(), *others]


def install() -> None:
    """Batches what this process measures in its event loop from now on."""
    at_once = ProcessMetricClient.send_measurement
    if at_once.__module__ == __name__:
        return

    def send_measurement(self: Any, measurement: MaxMeasurement) -> None:
        waiting = self.__dict__.get("waiting")
        if not waiting:
            if self.transaction_depth > 0:
                at_once(self, measurement)
                return
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                at_once(self, measurement)
                return
            waiting = self.waiting = []
            loop.call_later(MOMENT, flush, self)
        waiting.append(measurement)

    def flush(self: Any) -> None:
        waiting, self.waiting = self.waiting, []
        self._flush(in_series(waiting))

    ProcessMetricClient.send_measurement = send_measurement  # type: ignore[method-assign]
