"""Packs expert weights into the kernel's layout, once, while loading."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from max.driver import Buffer, Device, is_virtual_device_mode
from max.dtype import DType
from max.engine import InferenceSession, Model
from max.graph import DeviceRef, Graph, TensorType

from mxfp4 import guard, ops

logger = logging.getLogger("max.pipelines.mxfp4")


def pack_experts(
    state_dict: dict[str, Any], session: InferenceSession, device: Device
) -> None:
    """Replaces blocks and scales by packed weights that reside on `device`.

    Tensors go one projection at a time from the mapped checkpoint to the device
    and are packed there, so the host holds no copy. Where the device is virtual,
    nothing can run: the packed weights are stand-ins of the right shape.
    """
    projections = sorted(
        name.removesuffix(".blocks") for name in state_dict if name.endswith(".blocks")
    )
    shapes = {name: _projection_shape(state_dict, name) for name in projections}
    # Compiled in either mode, so that a warmed cache holds it.
    packer = _load_packer(session, device)
    if is_virtual_device_mode():
        for name, shape in shapes.items():
            del state_dict[f"{name}.blocks"], state_dict[f"{name}.scales"]
            # Untouched zero pages: no memory is used.
            packed = np.zeros(ops.packed_shape(*shape), np.uint8)
            state_dict[f"{name}.weights"] = packed
        return

    start, total = time.perf_counter(), 0
    for name in projections:
        keys = (f"{name}.blocks", f"{name}.scales")
        inputs = [Buffer.from_dlpack(state_dict.pop(key)) for key in keys]
        total += sum(value.num_elements for value in inputs)
        (packed,) = packer.execute(*(value.to(device) for value in inputs))
        state_dict[f"{name}.weights"] = packed
    device.synchronize()
    seconds = time.perf_counter() - start
    logger.info(
        "Packed %.2f GB of expert weights in %.1f s (%.1f GB/s)",
        total / 1e9,
        seconds,
        total / 1e9 / seconds,
    )


def _projection_shape(state_dict: Mapping[str, Any], name: str) -> tuple[int, int, int]:
    """Returns experts, out_features and in_features of one projection."""
    scales = state_dict.get(f"{name}.scales")
    if scales is None:
        raise ValueError(f"the checkpoint holds {name}.blocks without {name}.scales")
    blocks_shape = [int(dim) for dim in state_dict[f"{name}.blocks"].shape]
    scales_shape = [int(dim) for dim in scales.shape]
    experts, rows, width = blocks_shape
    if scales_shape != [experts, rows, width * 2 // ops.GROUP]:
        raise ValueError(
            f"{name}.blocks {blocks_shape} and {name}.scales {scales_shape} do not "
            f"belong together: one scale goes with {ops.GROUP // 2} bytes of blocks"
        )
    return experts, rows, width * 2


def _load_packer(session: InferenceSession, device: Device) -> Model:
    """Compiles the graph that packs one projection, whatever its shape."""
    ref = DeviceRef.from_device(device)
    with Graph(
        "mxfp4_pack",
        input_types=[
            TensorType(DType.uint8, ("experts", "rows", "block_bytes"), ref),
            TensorType(DType.uint8, ("experts", "rows", "groups"), ref),
        ],
        custom_extensions=guard.require_package(),
    ) as graph:
        blocks, scales = (value.tensor for value in graph.inputs)
        graph.output(ops.pack(blocks, scales))
    return session.load(graph)
