"""Packs expert weights into the kernel's layout, once, while loading."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from max.driver import Buffer, Device, is_virtual_device_mode
from max.dtype import DType
from max.engine import InferenceSession, Model
from max.graph import DeviceRef, Graph, TensorType

from mxfp4.gpt_oss.shares import shares
from mxfp4.kernels import guard, ops

logger = logging.getLogger("max.pipelines.mxfp4")


@dataclass(frozen=True)
class Part:
    """What one device has of a projection of all experts."""

    rows: range
    cols: range

    def cut(self, values: Buffer, per_byte: int) -> Buffer:
        """Returns the part of blocks or scales. All of them are not copied.

        Args:
            values: `[E, rows, cols / per_byte]` uint8.
            per_byte: Weights that a byte belongs to.
        """
        width = slice(self.cols.start // per_byte, self.cols.stop // per_byte)
        rows = slice(self.rows.start, self.rows.stop)
        array = np.from_dlpack(values)
        part = array[:, rows, width]
        if part.shape == array.shape:
            return values
        return Buffer.from_numpy(np.ascontiguousarray(part))


def parts(name: str, shape: tuple[int, int, int], devices: int) -> list[Part]:
    """Divides a projection among devices, by the experts' intermediate features.

    Args:
        name: `*.gate_up` or `*.down`.
        shape: Experts, output and input features.
        devices: How many devices there are.
    """
    _, rows, cols = shape
    if name.endswith(".gate_up"):
        # A feature's gate and up rows stand side by side.
        return [
            Part(range(2 * share.start, 2 * share.stop), range(cols))
            for share in shares(rows // 2, devices)
        ]
    return [Part(range(rows), share) for share in shares(cols, devices)]


def pack_experts(
    state_dict: dict[str, Any], session: InferenceSession, devices: Sequence[Device]
) -> None:
    """Replaces blocks and scales by packed weights that reside on the devices.

    Tensors go one projection at a time from the mapped checkpoint to the devices
    and are packed there. Of one device the host holds no copy, of several that of
    one projection. Where devices are virtual, nothing can run: the packed weights
    are stand-ins of the right shape.
    """
    projections = sorted(
        name.removesuffix(".blocks") for name in state_dict if name.endswith(".blocks")
    )
    shapes = {name: _projection_shape(state_dict, name) for name in projections}
    # Compiled in either mode, so that a warmed cache holds it.
    packer = _load_packer(session, devices)
    if is_virtual_device_mode():
        for name, shape in shapes.items():
            del state_dict[f"{name}.blocks"], state_dict[f"{name}.scales"]
            for rank, part in enumerate(parts(name, shape, len(devices))):
                packed = ops.packed_shape(shape[0], len(part.rows), len(part.cols))
                # Untouched zero pages: no memory is used.
                state_dict[f"{name}.weights.{rank}"] = np.zeros(packed, np.uint8)
        return

    start, total = time.perf_counter(), 0
    for name, shape in shapes.items():
        blocks = Buffer.from_dlpack(state_dict.pop(f"{name}.blocks"))
        scales = Buffer.from_dlpack(state_dict.pop(f"{name}.scales"))
        total += blocks.num_elements + scales.num_elements
        cuts, inputs = [], []
        for part, device in zip(parts(name, shape, len(devices)), devices, strict=True):
            cuts += [part.cut(blocks, 2), part.cut(scales, ops.GROUP)]
            inputs += [cut.to(device) for cut in cuts[-2:]]
        for rank, packed in enumerate(packer.execute(*inputs)):
            state_dict[f"{name}.weights.{rank}"] = packed
        if len(devices) > 1:
            # The cuts must outlive their way to the devices.
            _synchronize(devices)
    _synchronize(devices)
    seconds = time.perf_counter() - start
    logger.info(
        "Packed %.2f GB of expert weights in %.1f s (%.1f GB/s)",
        total / 1e9,
        seconds,
        total / 1e9 / seconds,
    )


def _synchronize(devices: Sequence[Device]) -> None:
    for device in devices:
        device.synchronize()


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


def _load_packer(session: InferenceSession, devices: Sequence[Device]) -> Model:
    """Compiles the graph that packs one projection, whatever its shape."""
    input_types = []
    for rank, device in enumerate(devices):
        ref = DeviceRef.from_device(device)
        leading = (f"experts_{rank}", f"rows_{rank}")
        input_types += [
            TensorType(DType.uint8, (*leading, f"block_bytes_{rank}"), ref),
            TensorType(DType.uint8, (*leading, f"groups_{rank}"), ref),
        ]
    with Graph(
        "mxfp4_pack",
        input_types=input_types,
        custom_extensions=guard.require_package(),
    ) as graph:
        values = [value.tensor for value in graph.inputs]
        graph.output(*map(ops.pack, values[::2], values[1::2]))
    return session.load(graph)
