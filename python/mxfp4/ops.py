"""The MXFP4 ops of the kernel package: their names, and checked wrappers.

This module is the one place where Python knows the ops' names.
"""

from __future__ import annotations

import os
from typing import TypeVar

from max.dtype import DType
from max.graph import Dim, Graph, StaticDim, TensorType, TensorValue, ops

from mxfp4 import guard

OVERRIDE = "MAX_MXFP4_KERNEL_OP"
"""Environment variable that names the matmul op to use, and no other."""

MATMUL = ("mo.moe.mx4.matmul", "custom.moe.mx4.matmul")
"""Names of the grouped matmul, the preferred one first. `mo.` names are those of
a runtime that has the kernel built in."""

PACK = ("mo.moe.mx4.pack", "custom.moe.mx4.pack")
"""Names of the op that packs weights for the matmul, the preferred one first."""

DENSE = ("custom.dense.matmul",)
"""Name of the dense matmul."""

DENSE_FLOAT32 = ("custom.dense.matmul_float32",)
"""Name of the one that leaves float32."""

SPARE_ROWS = 128
"""What the latter's result has is a multiple of this many rows."""

GROUP = 32
"""Weights that share one scale, along the contraction."""

TILE = 64
"""Packed weights come in tiles of this many features along both axes."""

TILE_BYTES = TILE * TILE // 2 + TILE * TILE // GROUP
"""What one packed tile takes: its codes, then its scales."""

SWIGLU_LIMIT = 7.0
"""Where the fused SwiGLU clamps."""

DimT = TypeVar("DimT", int, Dim)


def tiles(features: DimT) -> DimT:
    """Returns how many tiles hold so many features."""
    return (features + (TILE - 1)) // TILE


def packed_shape(
    experts: int, out_features: int, in_features: int
) -> tuple[int, int, int]:
    """Returns the shape of the packed weights of one projection."""
    for what, extent in (("out_features", out_features), ("in_features", in_features)):
        if extent <= 0 or extent % GROUP:
            raise ValueError(
                f"MXFP4 {what} must be a positive multiple of {GROUP}, got {extent}"
            )
    return experts, tiles(out_features), tiles(in_features) * TILE_BYTES


def matmul_names(variant: str = "") -> tuple[str, ...]:
    """Returns the names to try for the matmul, the preferred one first.

    Args:
        variant: The suffix of a fused variant: `_bias`, `_swiglu` or none.
    """
    override = os.environ.get(OVERRIDE)
    return tuple(base + variant for base in ((override,) if override else MATMUL))


def required_names() -> list[tuple[str, ...]]:
    """Returns the names to try for each op that serving needs."""
    return [
        PACK,
        DENSE,
        DENSE_FLOAT32,
        *(matmul_names(variant) for variant in ("", "_bias", "_swiglu")),
    ]


def grouped_mxfp4_matmul(
    hidden: TensorValue,
    weights: TensorValue,
    expert_start_indices: TensorValue,
    expert_ids: TensorValue,
    *,
    out_features: int,
    bias: TensorValue | None = None,
    swiglu: bool = False,
) -> TensorValue:
    """Multiplies each expert's rows with that expert's MXFP4 weights.

    Args:
        hidden: `[M, K]` bfloat16, rows grouped by expert.
        weights: uint8 packed by `pack`, of the shape that `packed_shape` tells.
        expert_start_indices: `[G + 1]` uint32; group g owns the rows from its
            entry up to the next.
        expert_ids: `[G]` int32; each group's expert, negative to skip the group.
        out_features: N before padding.
        bias: `[E, N]` bfloat16, added to each expert's rows.
        swiglu: Fuses GPT-OSS's SwiGLU over interleaved gate and up features.
            Needs a bias.

    Returns:
        `[M, N]` bfloat16, or `[M, N / 2]` with `swiglu`.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_dtype("hidden", hidden, DType.bfloat16)
    _check_dtype("weights", weights, DType.uint8)
    _check_dtype("expert_start_indices", expert_start_indices, DType.uint32)
    _check_dtype("expert_ids", expert_ids, DType.int32)
    _check_rank("hidden", hidden, 2)
    _check_rank("weights", weights, 3)
    _check_rank("expert_start_indices", expert_start_indices, 1)
    _check_rank("expert_ids", expert_ids, 1)

    experts = int(weights.shape[0])
    in_features = int(hidden.shape[1])
    projection = f"{in_features} to {out_features} features of {experts} experts"
    want = packed_shape(experts, out_features, in_features)
    _check_shape("weights", weights, want, projection)

    values = [hidden, weights, expert_start_indices, expert_ids]
    variant = ""
    if bias is not None:
        _check_dtype("bias", bias, DType.bfloat16)
        _check_shape("bias", bias, (experts, out_features), projection)
        values.append(bias)
        variant = "_swiglu" if swiglu else "_bias"
    elif swiglu:
        raise ValueError("the fused SwiGLU needs a bias, got none")

    return _call(
        matmul_names(variant),
        values,
        TensorType(
            DType.bfloat16,
            (hidden.shape[0], out_features // 2 if swiglu else out_features),
            device=hidden.device,
        ),
    )


def pack(blocks: TensorValue, scales: TensorValue) -> TensorValue:
    """Packs the weights of one projection into the kernel's layout.

    Dimensions may be symbolic, so that one graph packs weights of any shape.

    Args:
        blocks: `[E, N, K / 2]` uint8 in the checkpoint's order.
        scales: `[E, N, K / 32]` uint8 in the checkpoint's order.

    Returns:
        uint8 of the shape that `packed_shape` tells.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    for what, value in (("blocks", blocks), ("scales", scales)):
        _check_dtype(what, value, DType.uint8)
        _check_rank(what, value, 3)
    experts, rows, width = blocks.shape
    groups = scales.shape[2]
    # A symbolic width tells nothing of its groups; the op compares them as it runs.
    known = isinstance(width, StaticDim) and isinstance(groups, StaticDim)
    if list(scales.shape)[:2] != [experts, rows] or (
        known and int(groups) * GROUP != int(width) * 2
    ):
        raise ValueError(
            f"blocks {_text(blocks.shape)} and scales {_text(scales.shape)} do not "
            f"belong together: one scale goes with {GROUP // 2} bytes of blocks"
        )
    return _call(
        PACK,
        [blocks, scales],
        TensorType(
            DType.uint8,
            (experts, tiles(rows), tiles(width * 2) * TILE_BYTES),
            device=blocks.device,
        ),
    )


def dense(hidden: TensorValue, weight: TensorValue, bias: TensorValue) -> TensorValue:
    """Multiplies `[M, K]` bfloat16 with dense `[N, K]` bfloat16 weights.

    Args:
        hidden: The rows.
        weight: The weights, output features first.
        bias: `[N]` bfloat16, added to each row.

    Returns:
        `[M, N]` bfloat16, accumulated in float32.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_dense(hidden, weight)
    _check_dtype("bias", bias, DType.bfloat16)
    features = weight.shape[0]
    if list(bias.shape) != [features]:
        raise ValueError(f"bias must be [{features}], got {_text(bias.shape)}")
    return _call(
        DENSE,
        [hidden, weight, bias],
        TensorType(DType.bfloat16, (hidden.shape[0], features), device=hidden.device),
    )


def dense_float32(hidden: TensorValue, weight: TensorValue) -> TensorValue:
    """Multiplies like `dense`, without a bias, and leaves the sums as they are.

    Args:
        hidden: The rows.
        weight: The weights, output features first.

    Returns:
        `[M, N]` float32.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_dense(hidden, weight)
    rows, features = hidden.shape[0], weight.shape[0]
    # The kernel writes whole tiles, so its output has room for them.
    room = (rows + SPARE_ROWS - 1) // SPARE_ROWS * SPARE_ROWS
    result = _call(
        DENSE_FLOAT32,
        [hidden, weight],
        TensorType(DType.float32, (room, features), device=hidden.device),
    )
    return ops.slice_tensor(result, [(slice(0, TensorValue(rows)), rows)])


def _check_dense(hidden: TensorValue, weight: TensorValue) -> None:
    _check_dtype("hidden", hidden, DType.bfloat16)
    _check_dtype("weight", weight, DType.bfloat16)
    _check_rank("hidden", hidden, 2)
    _check_rank("weight", weight, 2)
    if hidden.shape[1] != weight.shape[1]:
        raise ValueError(
            f"hidden {_text(hidden.shape)} and weight {_text(weight.shape)} must agree "
            "in their second dimension"
        )


def _call(
    names: tuple[str, ...], values: list[TensorValue], out_type: TensorType
) -> TensorValue:
    # What the graph can call is known to its kernel library alone; MAX 26.7 has
    # no public way to it.
    name = guard.require_op(names, Graph.current._kernel_library)
    (result,) = ops.custom(
        name, device=out_type.device, values=values, out_types=[out_type]
    )
    return result.tensor


def _check_dtype(name: str, value: TensorValue, want: DType) -> None:
    if value.dtype != want:
        raise ValueError(f"{name} must be {want.name}, got {value.dtype.name}")


def _check_rank(name: str, value: TensorValue, want: int) -> None:
    if value.rank != want:
        raise ValueError(
            f"{name} must have {want} dimension(s), got {value.rank}: "
            f"{_text(value.shape)}"
        )


def _check_shape(
    name: str, value: TensorValue, want: tuple[int, ...], projection: str
) -> None:
    if list(value.shape) != list(want):
        raise ValueError(
            f"{name} must be {_text(want)} for {projection}, got {_text(value.shape)}"
        )


def _text(shape: object) -> str:
    return "[" + ", ".join(str(dim) for dim in shape) + "]"
