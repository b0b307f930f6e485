"""The weighted sum of what each token's experts made."""

from std.math import ceildiv
from std.utils.static_tuple import StaticTuple

from max.gpu import MAX_THREADS_PER_BLOCK_METADATA, block_idx, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.primitives.grid_controls import PDLLevel, pdl_launch_attributes

from ..pointers import BF16, Floats, RowIndices
from ..ptx import grid_release, grid_wait
from .top_experts import MAX_EXPERTS, MAX_TOP, check_sizes

comptime COMBINE_THREADS = 128
comptime COMBINE_FEATURES = COMBINE_THREADS * 8
"""Features that a block sums up."""


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(COMBINE_THREADS))
)
def combine_kernel[
    TOP: Int
](y: BF16, rows: BF16, places: RowIndices, weights: Floats, features: UInt32):
    """One block for `COMBINE_FEATURES` features of a token, eight a thread; see `combine`.

    The number of experts is compiled in, and there is no branch between the loads: a token's rows are under way together.

    Parameters:
        TOP: Experts of a token.
    """
    var parts = ceildiv(features, UInt32(COMBINE_FEATURES))
    var block = UInt32(block_idx.x)
    var token = Int(block // parts)
    var width = Int(features)
    var at = Int(block % parts) * COMBINE_FEATURES + Int(thread_idx.x) * 8
    if at >= width:
        return
    grid_wait()
    grid_release()
    var first = token * TOP
    var from_here = StaticTuple[Int, TOP]()
    var shares = StaticTuple[Float32, TOP]()
    comptime for pick in range(TOP):
        from_here[pick] = Int(places[unsafe_offset=first + pick])
        shares[pick] = weights[unsafe_offset=first + pick]
    var values = StaticTuple[SIMD[DType.bfloat16, 8], TOP]()
    comptime for pick in range(TOP):
        values[pick] = rows.unsafe_offset(
            from_here[pick] * width + at
        ).unsafe_load[width=8, alignment=16]()
    var sum = SIMD[DType.float32, 8](0)
    comptime for pick in range(TOP):
        sum = (
            values[pick]
            .cast[DType.float32]()
            .fma(SIMD[DType.float32, 8](shares[pick]), sum)
        )
    y.unsafe_offset(token * width + at).unsafe_store[alignment=16](
        sum.cast[DType.bfloat16]()
    )


def combine_blocks(tokens: Int, features: Int) -> Int:
    """How many blocks `combine_kernel` takes."""
    return tokens * ceildiv(features, COMBINE_FEATURES)


def combine(
    y: BF16,
    rows: BF16,
    places: RowIndices,
    weights: Floats,
    *,
    tokens: Int,
    features: Int,
    top: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue the weighted sum: y[t] = sum over k of weights[t, k] rows[places[t, k]], in float32, rounded once.

    Args:
        y: Result, bf16 [T, H].
        rows: What the experts made, bf16 [T K, H].
        places: Which rows are a token's, u32 [T, K], each below T K.
        weights: Their shares, float32 [T, K].
        tokens: T.
        features: H, a multiple of 8.
        top: K, at most 8.
        ctx: The device.

    Raises:
        When a number is outside these limits, or the launch fails.
    """
    check_sizes(MAX_EXPERTS, top, features)
    if tokens == 0:
        return
    comptime for i in range(MAX_TOP):
        if top == i + 1:
            ctx.enqueue_function[combine_kernel[i + 1]](
                y,
                rows,
                places,
                weights,
                UInt32(features),
                grid_dim=combine_blocks(tokens, features),
                block_dim=COMBINE_THREADS,
                attributes=pdl_launch_attributes(PDLLevel.ON),
            )
