"""The MXFP4 ops of the kernel package: their names, and checked wrappers.

This module is the one place where Python knows the ops' names.
"""

from __future__ import annotations

import os
from typing import TypeVar

from max.dtype import DType
from max.graph import BufferValue, Dim, Graph, StaticDim, TensorType, TensorValue, ops

from mxfp4.kernels import guard

OVERRIDE = "MAX_MXFP4_KERNEL_OP"
"""Environment variable that names the matmul op to use, and no other."""

MATMUL = ("mo.moe.mx4.matmul", "custom.moe.mx4.matmul")
"""Names of the grouped matmul, the preferred one first. `mo.` names are those of
a runtime that has the kernel built in."""

VARIANTS = ("", "_bias", "_swiglu", "_swiglu_gather")
"""What the name of the grouped matmul may end in: the plain and the fused ones."""

PACK = ("mo.moe.mx4.pack", "custom.moe.mx4.pack")
"""Names of the op that packs weights for the matmul, the preferred one first."""

DENSE = ("custom.dense.matmul",)
"""Name of the dense matmul."""

DENSE_FLOAT32 = ("custom.dense.matmul_float32",)
"""Name of the one that leaves float32."""

ROUTE = ("custom.moe.route",)
"""Name of the router."""

SORT = ("custom.moe.sort",)
"""Name of the op that orders the routed rows by expert."""

COMBINE = ("custom.moe.combine",)
"""Name of the op that adds up what a token's experts made."""

HEALTH = ("custom.logits.health",)
"""Name of the op that counts logits that cannot be."""

MASK_PADDING = ("custom.logits.mask_padding",)
"""Name of the op that masks the logits of no token."""

MASK_TOKENS = ("custom.logits.mask_tokens",)
"""Name of the op that masks the logits of tokens that a row must not go on with."""

COUNTERS = 2
"""Counters of a layer's products, 0 before and after it."""

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
        variant: The suffix of a fused variant: `_bias`, `_swiglu`, `_swiglu_gather`
            or none.
    """
    override = os.environ.get(OVERRIDE)
    return tuple(base + variant for base in ((override,) if override else MATMUL))


def required_names() -> list[tuple[str, ...]]:
    """Returns the names to try for each op that serving needs."""
    return [
        PACK,
        DENSE,
        DENSE_FLOAT32,
        ROUTE,
        SORT,
        COMBINE,
        HEALTH,
        MASK_PADDING,
        MASK_TOKENS,
        *(matmul_names(variant) for variant in VARIANTS),
    ]


def grouped_mxfp4_matmul(
    hidden: TensorValue,
    weights: TensorValue,
    expert_start_indices: TensorValue,
    expert_ids: TensorValue,
    *,
    out_features: int,
    bias: TensorValue | None = None,
    counters: TensorValue | None = None,
    swiglu: bool = False,
    sources: TensorValue | None = None,
    after_product: bool = False,
) -> TensorValue:
    """Multiplies each expert's rows with that expert's MXFP4 weights.

    Args:
        hidden: `[M, K]` bfloat16, rows grouped by expert; with `sources`, `[T, K]`.
        weights: uint8 packed by `pack`, of the shape that `packed_shape` tells.
        expert_start_indices: `[G + 1]` uint32; group g owns the rows from its
            entry up to the next.
        expert_ids: `[G]` int32; each group's expert, negative to skip the group.
        out_features: N before padding.
        bias: `[E, N]` bfloat16, added to each expert's rows. Needs counters.
        counters: `[COUNTERS]` uint32 that are 0, as `sort_rows` makes them, and are
            again afterwards: each part of the GPU takes the next work whenever it is
            free. Needs a bias.
        swiglu: Fuses GPT-OSS's SwiGLU over interleaved gate and up features.
            Needs a bias.
        sources: `[M]` uint32: which row of `hidden` each grouped row is. Needs the
            fused SwiGLU.
        after_product: Whether `hidden` is what another call with the same start
            indices and ids made, so that weights may be read while that one ends.
            Needs a bias, and no fused SwiGLU.

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
    rows = hidden.shape[0]
    variant = ""
    if bias is not None:
        _check_dtype("bias", bias, DType.bfloat16)
        _check_shape("bias", bias, (experts, out_features), projection)
        if counters is None:
            raise ValueError("a product with a bias needs counters, got none")
        _check_dtype("counters", counters, DType.uint32)
        _check_shape("counters", counters, (COUNTERS,), "the products of a layer")
        values += [bias, counters]
        variant = "_swiglu" if swiglu else "_bias"
    elif swiglu:
        raise ValueError("the fused SwiGLU needs a bias, got none")
    elif counters is not None:
        raise ValueError("only a product with a bias takes counters")
    if sources is not None:
        if not swiglu:
            raise ValueError("only the fused SwiGLU takes the sources of its rows")
        _check_dtype("sources", sources, DType.uint32)
        _check_rank("sources", sources, 1)
        values.insert(1, sources)
        rows = sources.shape[0]
        variant += "_gather"
    if after_product and variant != "_bias":
        raise ValueError("only the product with a bias, and no more, comes after one")

    return _call(
        matmul_names(variant),
        values,
        TensorType(
            DType.bfloat16,
            (rows, out_features // 2 if swiglu else out_features),
            device=hidden.device,
        ),
        {"after_product": after_product} if variant == "_bias" else {},
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


def route(
    hidden: TensorValue, router: TensorValue, bias: TensorValue, top: int
) -> tuple[TensorValue, TensorValue]:
    """Chooses each token's experts.

    Args:
        hidden: `[T, H]` bfloat16.
        router: `[E, H]` bfloat16, the router's weights. A weight or input of the graph:
            the kernel reads it before the one in front of it has ended, so nothing
            that the graph computes may be given here.
        bias: `[E]` bfloat16, likewise.
        top: How many experts a token takes.

    Returns:
        The experts, `[T, top]` int32, the likeliest first; and their shares,
        `[T, top]` float32, the softmax of the logits of those chosen.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_dense(hidden, router)
    _check_bias(bias, router)
    shape, device = (hidden.shape[0], top), hidden.device
    chosen, shares = _call_for(
        ROUTE,
        [hidden, router, bias],
        [
            TensorType(DType.int32, shape, device=device),
            TensorType(DType.float32, shape, device=device),
        ],
    )
    return chosen, shares


def sort_rows(
    chosen: TensorValue, experts: int
) -> tuple[TensorValue, TensorValue, TensorValue, TensorValue]:
    """Orders the rows of all tokens by expert.

    Args:
        chosen: `[T, top]` int32, each token's experts.
        experts: How many there are.

    Returns:
        The first row of each expert and the end of the last, `[E + 1]` uint32; the
        counters of the products, `[COUNTERS]` uint32; the token of each row,
        `[T * top]` uint32; and the row of each token's expert, `[T, top]` uint32.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_dtype("chosen", chosen, DType.int32)
    _check_rank("chosen", chosen, 2)
    tokens, top = chosen.shape
    starts, counters, sources, places = _call_for(
        SORT,
        [chosen],
        [
            TensorType(DType.uint32, shape, device=chosen.device)
            for shape in (
                (experts + 1,),
                (COUNTERS,),
                (tokens * top,),
                (tokens, top),
            )
        ],
    )
    return starts, counters, sources, places


def combine(rows: TensorValue, places: TensorValue, shares: TensorValue) -> TensorValue:
    """Adds up what each token's experts made.

    Args:
        rows: `[T * top, H]` bfloat16, grouped by expert.
        places: `[T, top]` uint32: the row of each token's expert.
        shares: `[T, top]` float32: the factor of each.

    Returns:
        `[T, H]` bfloat16, summed up in float32 and rounded once.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_dtype("rows", rows, DType.bfloat16)
    _check_dtype("places", places, DType.uint32)
    _check_dtype("shares", shares, DType.float32)
    _check_rank("rows", rows, 2)
    _check_rank("places", places, 2)
    if places.shape != shares.shape:
        raise ValueError(
            f"places {_text(places.shape)} and shares {_text(shares.shape)} must "
            "have one shape"
        )
    shape = (places.shape[0], rows.shape[1])
    return _call(
        COMBINE,
        [rows, places, shares],
        TensorType(DType.bfloat16, shape, device=rows.device),
    )


def dense(hidden: TensorValue, weight: TensorValue, bias: TensorValue) -> TensorValue:
    """Multiplies `[M, K]` bfloat16 with dense `[N, K]` bfloat16 weights.

    Args:
        hidden: The rows.
        weight: The weights, output features first. They are read while the op before
            may still be running, so they must be constants, or older than it.
        bias: `[N]` bfloat16, added to each row.

    Returns:
        `[M, N]` bfloat16, accumulated in float32.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_dense(hidden, weight)
    _check_bias(bias, weight)
    shape = (hidden.shape[0], weight.shape[0])
    return _call(
        DENSE,
        [hidden, weight, bias],
        TensorType(DType.bfloat16, shape, device=hidden.device),
    )


def dense_float32(hidden: TensorValue, weight: TensorValue) -> TensorValue:
    """Multiplies like `dense`, without a bias, and leaves the sums as they are.

    Args:
        hidden: The rows.
        weight: The weights, as in `dense`.

    Returns:
        `[M, N]` float32.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_dense(hidden, weight)
    shape = (hidden.shape[0], weight.shape[0])
    return _call(
        DENSE_FLOAT32,
        [hidden, weight],
        TensorType(DType.float32, shape, device=hidden.device),
    )


def count_broken(logits: TensorValue, buffer: BufferValue) -> None:
    """Adds to the counts at the buffer's end how many rows of logits cannot be.

    Args:
        logits: `[M, N]` float32.
        buffer: uint8, on the logits' device; of its last 16 bytes the first four count
            the rows with a value that is not finite, the next four those whose values
            are all the same.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_dtype("logits", logits, DType.float32)
    _check_rank("logits", logits, 2)
    _check_buffer("the buffer", buffer, DType.uint8, "one dimension")
    name = guard.require_op(HEALTH, Graph.current._kernel_library)
    ops.inplace_custom(name, device=logits.device, values=[buffer, logits])


def mask_padding(logits: BufferValue, tokens: int) -> None:
    """Makes the logits from column `tokens` on minus infinity, in place.

    Args:
        logits: `[M, N]` float32.
        tokens: How many columns stay; at least 1.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_buffer("logits", logits, DType.float32, "two dimensions")
    if tokens < 1:
        raise ValueError(f"tokens must be at least 1, got {tokens}")
    name = guard.require_op(MASK_PADDING, Graph.current._kernel_library)
    ops.inplace_custom(
        name, device=logits.device, values=[logits], parameters={"tokens": tokens}
    )


def mask_tokens(logits: BufferValue, mask: TensorValue) -> None:
    """Makes the logits whose bits are not set minus infinity, in place.

    Args:
        logits: `[M, N]` float32.
        mask: `[M, W]` int32, a bit a column from the least one of the first word on.
            Columns beyond its bits stay.

    Raises:
        ValueError: A shape or dtype is wrong.
        RuntimeError: No loaded kernel package registers the op.
    """
    _check_buffer("logits", logits, DType.float32, "two dimensions")
    _check_buffer("mask", mask, DType.int32, "two dimensions")
    op = guard.require_op(MASK_TOKENS, Graph.current._kernel_library)
    ops.inplace_custom(op, device=logits.device, values=[logits, mask])


def _check_buffer(
    name: str, value: BufferValue | TensorValue, dtype: DType, rank: str
) -> None:
    """Refuses another dtype, and another number of dimensions than `rank` says."""
    wanted = {"one dimension": 1, "two dimensions": 2}[rank]
    if value.dtype != dtype or len(value.shape) != wanted:
        raise ValueError(
            f"{name} must be {dtype.name} with {rank}, got {value.dtype.name} "
            f"{_text(value.shape)}"
        )


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


def _check_bias(bias: TensorValue, weight: TensorValue) -> None:
    _check_dtype("bias", bias, DType.bfloat16)
    if list(bias.shape) != [weight.shape[0]]:
        raise ValueError(f"bias must be [{weight.shape[0]}], got {_text(bias.shape)}")


def _call(
    names: tuple[str, ...],
    values: list[TensorValue],
    out_type: TensorType,
    parameters: dict[str, bool] | None = None,
) -> TensorValue:
    (result,) = _call_for(names, values, [out_type], parameters)
    return result


def _call_for(
    names: tuple[str, ...],
    values: list[TensorValue],
    out_types: list[TensorType],
    parameters: dict[str, bool] | None = None,
) -> list[TensorValue]:
    # What the graph can call is known to its kernel library alone; MAX 26.7 has
    # no public way to it.
    name = guard.require_op(names, Graph.current._kernel_library)
    results = ops.custom(
        name,
        device=out_types[0].device,
        values=values,
        out_types=out_types,
        parameters=parameters,
    )
    return [result.tensor for result in results]


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
