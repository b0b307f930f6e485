"""The op in a MAX graph: on the CPU, and on a GPU where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from max.driver import CPU, Accelerator, Buffer, Device, accelerator_count
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph, TensorType, ops


def packages() -> list[Path]:
    """The kernel packages that `mxfp4 build` made and `mxfp4 test` names."""
    named = os.environ.get("MAX_CUSTOM_EXTENSIONS", "")
    return [Path(path) for path in named.split(":") if path]


@pytest.fixture(params=["cpu", "gpu"])
def device(request: pytest.FixtureRequest) -> Device:
    """Each device that the op runs on."""
    if request.param == "cpu":
        return CPU()
    if not accelerator_count():
        pytest.skip("skipped: needs a GPU")
    return Accelerator()


def test_twice(device: Device) -> None:
    """Every element is twice as large, in any number of rows."""
    reference = DeviceRef.from_device(device)
    rows = TensorType(DType.float32, ("rows", 5), reference)
    with Graph("twice", input_types=[rows], custom_extensions=packages()) as graph:
        x = graph.inputs[0].tensor
        y = ops.custom("custom.my_kernel", reference, [x], out_types=[x.type])
        graph.output(y[0].tensor)
    model = InferenceSession(devices=[device]).load(graph)
    for count in (1, 3, 17):
        x = np.arange(count * 5, dtype=np.float32).reshape(count, 5)
        (y,) = model.execute(Buffer.from_numpy(x).to(device))
        np.testing.assert_array_equal(y.to_numpy(), 2 * x)
