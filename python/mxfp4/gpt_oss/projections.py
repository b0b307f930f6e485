"""Joins the weights of attention's three projections, once, while loading.

A matmul of all three reads the token once. In the graph they would be joined by a
concatenation of constants, which costs every step where MAX does not fold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from max.driver import Buffer
from max.dtype import DType
from max.graph.type import Shape
from max.graph.weights import WeightData

PARTS = ("q_proj", "k_proj", "v_proj")
"""In the order in which attention takes their outputs apart."""

JOINED = "qkv_proj"
"""The name of what they become."""


def join_projections(state_dict: dict[str, Any], devices: int) -> None:
    """Replaces weights and biases of the three by those of one layer.

    Args:
        state_dict: Of each part `*.q_proj.weight`, `[heads * head_dim, hidden]`, and
            `*.q_proj.bias`, both bfloat16. What they become stands in the order of the
            devices: all rows of a device's heads together, its queries first.
        devices: Among which the heads are divided, as many to each.
    """
    first = f".{PARTS[0]}."
    for found in [name for name in state_dict if first in name]:
        prefix, what = found.split(first)
        names = [f"{prefix}.{part}.{what}" for part in PARTS]
        parts = [_rows(state_dict, name, devices) for name in names]
        # bfloat16 is none of numpy's types.
        joined = np.concatenate(parts, axis=1)
        shape = joined.shape[0] * joined.shape[1], *joined.shape[2:]
        for name in names:
            del state_dict[name]
        name = f"{prefix}.{JOINED}.{what}"
        buffer = Buffer.from_numpy(joined.reshape(shape)).view(DType.bfloat16, shape)
        state_dict[name] = WeightData(buffer, name, DType.bfloat16, Shape(shape))


def _rows(
    state_dict: Mapping[str, Any], name: str, devices: int
) -> npt.NDArray[np.uint16]:
    """Returns a part's bits, divided among the devices."""
    data = state_dict.get(name)
    if data is None:
        raise ValueError(f"the checkpoint holds no {name}, which belongs to attention")
    shape = [int(dim) for dim in data.shape]
    if data.dtype != DType.bfloat16 or shape[0] % devices:
        raise ValueError(
            f"{name} must be bfloat16 with rows for {devices} device(s), "
            f"got {data.dtype.name} {shape}"
        )
    bits = Buffer.from_dlpack(data.data).view(DType.uint16, shape)
    return np.from_dlpack(bits).reshape(devices, shape[0] // devices, *shape[1:])
