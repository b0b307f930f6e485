"""What stands around the two projections of a mixture-of-experts layer: which expert a token goes to, in which order the
rows of all tokens are then multiplied, and the weighted sum of what comes back.

Three small kernels in place of the eight that a graph of general ops makes: at decode, each launch costs as much as the
work in it. Nothing waits for the host, and the same input gives the same bits.

Throughout: T tokens of H features, E experts, of which each token takes K.
"""

from std.bit import count_trailing_zeros, pop_count
from std.math import ceildiv, exp
from std.memory import Pointer, bitcast, stack_allocation
from std.utils.static_tuple import StaticTuple

from max.gpu import (
    MAX_THREADS_PER_BLOCK_METADATA,
    WARP_SIZE,
    barrier,
    block_idx,
    lane_id,
    thread_idx,
)
from max.gpu.host import DeviceContext
from max.gpu.memory import AddressSpace
from max.gpu.primitives import warp

from .grouped_matmul import Half
from .ptx import match_any, warp_barrier, warp_max, warp_min
from .scheduler import ExpertIds, GroupStarts, RowIndices

comptime MAX_EXPERTS = 256
"""Most experts of a layer: the router's logits and the counts of the sort live in shared memory."""
comptime MAX_TOP = 8
"""Most experts of a token."""

comptime ROUTE_THREADS = 512
comptime ROUTE_WARPS = ROUTE_THREADS // WARP_SIZE
comptime SORT_THREADS = 1024
comptime SORT_WARPS = SORT_THREADS // WARP_SIZE
comptime COMBINE_THREADS = 128

comptime Weights = Pointer[Float32, MutAnyOrigin]


@always_inline
def order_key(value: Float32) -> UInt32:
    """Map a number to an integer of the same order; not-a-number comes above or below all others, and is never lost."""
    var bits = bitcast[DType.uint32, 1](value)
    return ~bits if bits >> 31 == 1 else bits | 0x8000_0000


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(ROUTE_THREADS))
)
def route_kernel[
    TOKENS: Int
](
    chosen: ExpertIds,
    weights: Weights,
    x: Half,
    router: Half,
    bias: Half,
    tokens: UInt32,
    features: UInt32,
    experts: UInt32,
    top: UInt32,
):
    """One block for `TOKENS` tokens; see `route`."""
    comptime EXPERTS = 2
    """Experts that a warp works on at once."""
    var logits = stack_allocation[
        TOKENS * MAX_EXPERTS,
        Float32,
        address_space=AddressSpace.SHARED,
    ]()
    var lane = Int(lane_id())
    var warp_index = Int(thread_idx.x) // WARP_SIZE
    var first = Int(block_idx.x) * TOKENS
    var width = Int(features)

    # ---- Logits: a warp takes two experts at a time, its lanes share the features.
    for expert in range(
        warp_index * EXPERTS, Int(experts), ROUTE_WARPS * EXPERTS
    ):
        var sums = SIMD[DType.float32, EXPERTS * TOKENS](0)
        for at in range(lane * 8, width, WARP_SIZE * 8):
            var w = StaticTuple[SIMD[DType.float32, 8], EXPERTS]()
            comptime for e in range(EXPERTS):
                w[e] = (
                    router.unsafe_offset(
                        min(expert + e, Int(experts) - 1) * width + at
                    )
                    .unsafe_load[width=8, alignment=16]()
                    .cast[DType.float32]()
                )
            comptime for t in range(TOKENS):
                var token = min(first + t, Int(tokens) - 1)
                var values = (
                    x.unsafe_offset(token * width + at)
                    .unsafe_load[width=8, alignment=16]()
                    .cast[DType.float32]()
                )
                comptime for e in range(EXPERTS):
                    comptime for i in range(8):
                        sums[e * TOKENS + t] = values[i].fma(
                            w[e][i], sums[e * TOKENS + t]
                        )
        comptime for e in range(EXPERTS):
            comptime for t in range(TOKENS):
                var sum = warp.sum(sums[e * TOKENS + t])
                if lane == 0 and expert + e < Int(experts):
                    logits[unsafe_offset=t * MAX_EXPERTS + expert + e] = (
                        sum
                        + bias[unsafe_offset=expert + e].cast[DType.float32]()
                    )
    barrier()

    # ---- The highest logits, and their softmax: a warp a token.
    var token = first + warp_index
    if warp_index >= TOKENS or token >= Int(tokens):
        return
    comptime EACH = MAX_EXPERTS // WARP_SIZE
    var keys = SIMD[DType.uint32, EACH](0)
    var mine = logits.unsafe_offset(warp_index * MAX_EXPERTS)
    comptime for i in range(EACH):
        if i * WARP_SIZE + lane < Int(experts):
            # Never zero, which marks those that are gone.
            keys[i] = max(
                order_key(mine[unsafe_offset=i * WARP_SIZE + lane]), UInt32(1)
            )
    var highest = Float32(0)
    var total = Float32(0)
    var own = Float32(0)
    for pick in range(Int(top)):
        var best = warp_max(keys.reduce_max())
        var index = UInt32(MAX_EXPERTS)
        comptime for i in reversed(range(EACH)):
            if keys[i] == best:
                index = UInt32(i * WARP_SIZE + lane)
        # Of equals the first.
        index = warp_min(index)
        comptime for i in range(EACH):
            if UInt32(i * WARP_SIZE + lane) == index:
                keys[i] = 0
        var logit = mine[unsafe_offset=Int(index)]
        if pick == 0:
            highest = logit
        var share = exp(logit - highest)
        total += share
        if lane == pick:
            own = share
            chosen[unsafe_offset=token * Int(top) + pick] = Int32(index)
    if lane < Int(top):
        weights[unsafe_offset=token * Int(top) + lane] = own / total


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(SORT_THREADS))
)
def sort_kernel(
    starts: GroupStarts,
    sources: RowIndices,
    places: RowIndices,
    chosen: ExpertIds,
    count: UInt32,
    experts: UInt32,
    top: UInt32,
):
    """One block; see `sort_rows`."""
    # First how often a warp has each expert, then where its rows of that expert go.
    var counts = stack_allocation[
        SORT_WARPS * MAX_EXPERTS, UInt32, address_space=AddressSpace.SHARED
    ]()
    var ends = stack_allocation[
        MAX_EXPERTS, UInt32, address_space=AddressSpace.SHARED
    ]()
    var thread = Int(thread_idx.x)
    var lane = Int(lane_id())
    var warp_index = thread // WARP_SIZE
    var mine = counts.unsafe_offset(warp_index * MAX_EXPERTS)
    for i in range(thread, SORT_WARPS * MAX_EXPERTS, SORT_THREADS):
        counts[unsafe_offset=i] = 0
    barrier()

    # Each warp has a stretch of rows, a multiple of its lanes.
    var stretch = ceildiv(Int(count), SORT_THREADS) * WARP_SIZE
    var first = warp_index * stretch
    var end = min(first + stretch, Int(count))
    for at in range(first, end, WARP_SIZE):
        # Lanes beyond the end agree with one another on an expert that there is not.
        var expert = UInt32(MAX_EXPERTS)
        if at + lane < end:
            expert = UInt32(chosen[unsafe_offset=at + lane])
        var same = match_any(expert)
        if expert < UInt32(MAX_EXPERTS) and count_trailing_zeros(
            same
        ) == UInt32(lane):
            mine[unsafe_offset=Int(expert)] += pop_count(same)
        warp_barrier()
    barrier()

    # Where each expert's rows start, and within them each warp's.
    if thread < MAX_EXPERTS:
        var before = UInt32(0)
        for other in range(SORT_WARPS):
            var at = other * MAX_EXPERTS + thread
            var here = counts[unsafe_offset=at]
            counts[unsafe_offset=at] = before
            before += here
        ends[unsafe_offset=thread] = before
    barrier()
    if warp_index == 0:
        var before = UInt32(0)
        for base in range(0, MAX_EXPERTS, WARP_SIZE):
            var sum = ends[unsafe_offset=base + lane]
            comptime for step in range(5):
                var other = warp.shuffle_up(sum, UInt32(1 << step))
                if lane >= 1 << step:
                    sum += other
            sum += before
            ends[unsafe_offset=base + lane] = sum
            if base + lane < Int(experts):
                starts[unsafe_offset=base + lane + 1] = sum
            before = warp.shuffle_idx(sum, UInt32(WARP_SIZE - 1))
        if lane == 0:
            starts[unsafe_offset=0] = 0
    barrier()

    for at in range(first, end, WARP_SIZE):
        var expert = UInt32(MAX_EXPERTS)
        if at + lane < end:
            expert = UInt32(chosen[unsafe_offset=at + lane])
        var same = match_any(expert)
        if expert < UInt32(MAX_EXPERTS):
            var below = same & ((UInt32(1) << UInt32(lane)) - 1)
            var place = mine[unsafe_offset=Int(expert)] + pop_count(below)
            if expert > 0:
                place += ends[unsafe_offset=Int(expert) - 1]
            places[unsafe_offset=at + lane] = place
            sources[unsafe_offset=Int(place)] = UInt32(at + lane) // top
        warp_barrier()
        if expert < UInt32(MAX_EXPERTS) and count_trailing_zeros(
            same
        ) == UInt32(lane):
            mine[unsafe_offset=Int(expert)] += pop_count(same)
        warp_barrier()


def combine_kernel(
    y: Half,
    rows: Half,
    places: RowIndices,
    weights: Weights,
    features: UInt32,
    top: UInt32,
):
    """One block a token; see `combine`."""
    var token = Int(block_idx.x)
    var width = Int(features)
    for at in range(Int(thread_idx.x) * 8, width, COMBINE_THREADS * 8):
        var sum = SIMD[DType.float32, 8](0)
        for pick in range(Int(top)):
            var slot = token * Int(top) + pick
            var row = Int(places[unsafe_offset=slot])
            sum = (
                rows.unsafe_offset(row * width + at)
                .unsafe_load[width=8, alignment=16]()
                .cast[DType.float32]()
                .fma(SIMD[DType.float32, 8](weights[unsafe_offset=slot]), sum)
            )
        y.unsafe_offset(token * width + at).unsafe_store[alignment=16](
            sum.cast[DType.bfloat16]()
        )


def _check(experts: Int, top: Int, features: Int) raises:
    if experts < 1 or experts > MAX_EXPERTS:
        raise Error(
            "mxfp4 routing: 1 to ", MAX_EXPERTS, " experts, got ", experts
        )
    if top < 1 or top > min(MAX_TOP, experts):
        raise Error(
            "mxfp4 routing: 1 to ",
            min(MAX_TOP, experts),
            " experts a token, got ",
            top,
        )
    if features < 8 or features % 8 != 0:
        raise Error(
            "mxfp4 routing: features must be a positive multiple of 8, got ",
            features,
        )


def route_wide(tokens: Int) -> Bool:
    """Whether eight tokens share what a block reads of the router; few are spread over the multiprocessors instead."""
    return tokens > 256


def route(
    chosen: ExpertIds,
    weights: Weights,
    x: Half,
    router: Half,
    bias: Half,
    *,
    tokens: Int,
    features: Int,
    experts: Int,
    top: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue the router: logits = x router^T + bias in float32, the `top` highest, and the softmax over those.

    Args:
        chosen: Result, i32 [T, K]: the experts of each token, the likeliest first; of equals the lower number.
        weights: Result, float32 [T, K]: their shares, which sum to one.
        x: Tokens, bf16 [T, H].
        router: Its weights, bf16 [E, H].
        bias: Its bias, bf16 [E].
        tokens: T.
        features: H, a multiple of 8.
        experts: E, at most 256.
        top: K, at most 8.
        ctx: The device.

    Raises:
        When a number is outside these limits, or the launch fails.
    """
    _check(experts, top, features)
    if tokens == 0:
        return
    comptime for wide in range(2):
        comptime TOKENS = 8 if wide == 1 else 1
        if route_wide(tokens) == (wide == 1):
            ctx.enqueue_function[route_kernel[TOKENS]](
                chosen,
                weights,
                x,
                router,
                bias,
                UInt32(tokens),
                UInt32(features),
                UInt32(experts),
                UInt32(top),
                grid_dim=ceildiv(tokens, TOKENS),
                block_dim=ROUTE_THREADS,
            )


def sort_rows(
    starts: GroupStarts,
    sources: RowIndices,
    places: RowIndices,
    chosen: ExpertIds,
    *,
    tokens: Int,
    experts: Int,
    top: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue the order of the routed rows: by expert, and within an expert as the tokens stand.

    Args:
        starts: Result, u32 [E + 1]: first row of each expert, and the end of the last.
        sources: Result, u32 [T K]: the token of each row.
        places: Result, u32 [T, K]: the row of each token's expert.
        chosen: Experts of each token, i32 [T, K], each from 0 to E - 1.
        tokens: T.
        experts: E, at most 256.
        top: K, at most 8.
        ctx: The device.

    Raises:
        When a number is outside these limits, or the launch fails.
    """
    _check(experts, top, 8)
    ctx.enqueue_function[sort_kernel](
        starts,
        sources,
        places,
        chosen,
        UInt32(tokens * top),
        UInt32(experts),
        UInt32(top),
        grid_dim=1,
        block_dim=SORT_THREADS,
    )


def combine(
    y: Half,
    rows: Half,
    places: RowIndices,
    weights: Weights,
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
    _check(MAX_EXPERTS, top, features)
    if tokens == 0:
        return
    ctx.enqueue_function[combine_kernel](
        y,
        rows,
        places,
        weights,
        UInt32(features),
        UInt32(top),
        grid_dim=tokens,
        block_dim=COMBINE_THREADS,
    )
