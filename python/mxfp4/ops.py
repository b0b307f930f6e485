"""The MXFP4 ops of the kernel package: their names, and checked wrappers.

This module is the one place where Python knows the ops' names.
"""

from __future__ import annotations

import os
from typing import TypeVar

from max.dtype import DType
from max.graph import Dim, Graph, TensorType, TensorValue, ops

from mxfp4 import guard

OVERRIDE = "MAX_MXFP4_KERNEL_OP"
"""Environment variable that names the matmul op to use, and no other."""

MATMUL = ("mo.moe.mx4.matmul", "custom.moe.mx4.matmul")
"""Names of the grouped matmul, the preferred one first. `mo.` names are those of
a runtime that has the kernel built in."""

PACK_BLOCKS = ("mo.moe.mx4.pack_blocks", "custom.moe.mx4.pack_blocks")
PACK_SCALES = ("mo.moe.mx4.pack_scales", "custom.moe.mx4.pack_scales")

GROUP = 32
"""Weights that share one scale, along the contraction."""

TILE = 64
"""Packed weights are padded to multiples of this along both axes."""

SWIGLU_LIMIT = 7.0
"""Where the fused SwiGLU clamps."""

DimT = TypeVar("DimT", int, Dim)


def padded(extent: DimT, multiple: int = TILE) -> DimT:
    """Rounds an extent up to the packed layout's tile."""
    return (extent + (multiple - 1)) // multiple * multiple


def packed_shapes(
    experts: int, out_features: int, in_features: int
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Returns the shapes of the packed blocks and scales of one projection."""
    for what, extent in (("out_features", out_features), ("in_features", in_features)):
        if extent <= 0 or extent % GROUP:
            raise ValueError(
                f"MXFP4 {what} must be a positive multiple of {GROUP}, got {extent}"
            )
    rows, cols = padded(out_features), padded(in_features)
    return (experts, rows, cols // 2), (experts, rows, cols // GROUP)


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
        PACK_BLOCKS,
        PACK_SCALES,
        *(matmul_names(variant) for variant in ("", "_bias", "_swiglu")),
    ]


def grouped_mxfp4_matmul(
    hidden: TensorValue,
    blocks: TensorValue,
    scales: TensorValue,
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
        blocks: `[E, N, K / 2]` uint8 packed by `pack_blocks`, N and K padded.
        scales: `[E, N, K / 32]` uint8 packed by `pack_scales`, N and K padded.
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
    _check_dtype("blocks", blocks, DType.uint8)
    _check_dtype("scales", scales, DType.uint8)
    _check_dtype("expert_start_indices", expert_start_indices, DType.uint32)
    _check_dtype("expert_ids", expert_ids, DType.int32)
    _check_rank("hidden", hidden, 2)
    _check_rank("blocks", blocks, 3)
    _check_rank("scales", scales, 3)
    _check_rank("expert_start_indices", expert_start_indices, 1)
    _check_rank("expert_ids", expert_ids, 1)

    experts = int(blocks.shape[0])
    in_features = int(hidden.shape[1])
    want_blocks, want_scales = packed_shapes(experts, out_features, in_features)
    projection = f"{in_features} to {out_features} features of {experts} experts"
    _check_shape("blocks", blocks, want_blocks, projection)
    _check_shape("scales", scales, want_scales, projection)

    values = [hidden, blocks, scales, expert_start_indices, expert_ids]
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


def pack_blocks(blocks: TensorValue) -> TensorValue:
    """Packs `[E, N, K / 2]` uint8 weight blocks into the kernel's layout.

    Dimensions may be symbolic, so that one graph packs weights of any shape.
    """
    return _pack(PACK_BLOCKS, "blocks", blocks, TILE // 2)


def pack_scales(scales: TensorValue) -> TensorValue:
    """Packs `[E, N, K / 32]` uint8 weight scales into the kernel's layout."""
    return _pack(PACK_SCALES, "scales", scales, TILE // GROUP)


def _pack(
    names: tuple[str, ...], what: str, value: TensorValue, tile_width: int
) -> TensorValue:
    _check_dtype(what, value, DType.uint8)
    _check_rank(what, value, 3)
    experts, rows, width = value.shape
    shape = (experts, padded(rows), padded(width, tile_width))
    return _call(names, [value], TensorType(DType.uint8, shape, device=value.device))


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
