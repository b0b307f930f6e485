"""Records what the first GPU does in some steps of the model, where it is asked for.

``mxfp4 bench serve --profile DIR`` starts the server with `VARIABLE` naming a folder. A
file `REQUEST` in it asks for so many steps; they are recorded with CUPTI, which also
sees the kernels inside a device graph, and written beside it as `RECORD`. Nothing is
done, and CUPTI is not loaded, where the variable is not set.

Needs ``cupti-python`` and CUPTI's library of the driver's CUDA version.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from max.driver import Device

from mxfp4.profile import RECORD, REQUEST

logger = logging.getLogger("max.pipelines.mxfp4")

VARIABLE = "MXFP4_PROFILE"
"""Environment variable that names the folder."""

BUFFER_BYTES = 64 << 20
"""Room for what some steps make, so that nothing is handed over while they run."""


class Timeline:
    """Records steps on request."""

    def __init__(self, folder: Path, device: Device) -> None:
        from cupti import cupti

        self._cupti: Any = cupti
        self._folder = folder
        self._device = device
        self._left = 0
        self._found: list[tuple[str, int, int]] = []
        cupti.activity_register_callbacks(lambda: (BUFFER_BYTES, 0), self._collect)
        # Started and stopped once, so that CUPTI knows the graphs captured from now on.
        self._switch(True)
        self._switch(False)

    def step(self) -> None:
        """Is told that a step begins."""
        if self._left:
            self._left -= 1
            if not self._left:
                self._finish()
            return
        request = self._folder / REQUEST
        if request.exists():
            self._left = int(request.read_text())
            request.unlink()
            self._found = []
            self._switch(True)

    def _finish(self) -> None:
        self._device.synchronize()
        self._switch(False)
        self._cupti.activity_flush_all(1)
        partial = self._folder / f"{RECORD}.partial"
        partial.write_text(json.dumps(sorted(self._found, key=lambda found: found[1])))
        partial.rename(self._folder / RECORD)

    def _switch(self, on: bool) -> None:
        kinds = self._cupti.ActivityKind
        act = self._cupti.activity_enable if on else self._cupti.activity_disable
        for kind in (kinds.CONCURRENT_KERNEL, kinds.MEMCPY, kinds.MEMSET):
            act(kind)

    def _collect(self, activities: list[Any]) -> None:
        for activity in activities:
            # Of several GPUs, which do alike, one tells of a step.
            if activity.device_id != self._device.id:
                continue
            # Copies and fills have no name.
            kind = self._cupti.ActivityKind(activity.kind).name.lower()
            name = getattr(activity, "name", None) or kind
            self._found.append((name, activity.start, activity.end))


def asked_for(device: Device) -> Timeline | None:
    """Returns what records, if the environment asks for it and it can be done."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    try:
        return Timeline(Path(folder), device)
    except Exception as error:
        # A profile is no reason not to serve.
        logger.error(
            "%s asks for a profile, which cannot be made: %s. Install cupti-python of "
            "the driver's CUDA version (such as cupti-python==13.0.1) into the SDK",
            VARIABLE,
            error,
        )
    return None
