"""What stands around the two projections of a mixture-of-experts layer: which expert a token goes to, in which order the
rows of all tokens are then multiplied, and the weighted sum of what comes back.

Three small kernels in place of the eight that a graph of general ops makes: at decode, each launch costs as much as the
work in it. Nothing waits for the host, and the same input gives the same bits.

Throughout: T tokens of H features, E experts, of which each token takes K.
"""

from std.bit import pop_count
from std.math import ceildiv
from std.memory import stack_allocation
from std.utils.static_tuple import StaticTuple

from max.gpu import (
    MAX_THREADS_PER_BLOCK_METADATA,
    WARP_SIZE,
    barrier,
    block_idx,
    lane_id,
    thread_idx,
)
from max.gpu.host import DeviceContext, Dim, FuncAttribute
from max.gpu.memory import AddressSpace
from max.gpu.primitives import warp
from max.gpu.primitives.grid_controls import PDLLevel, pdl_launch_attributes

from .grouped_matmul import Half
from .ptx import grid_release, grid_wait, match_any, shared_add
from .route_few import (
    FEW_BLOCKS,
    FEW_THREADS,
    few_blocks,
    few_tokens,
    route_few_kernel,
)
from .route_many import RouteShape, route_columns, route_many_kernel
from .scheduler import (
    COUNTERS,
    ExpertIds,
    GroupStarts,
    RowIndices,
    SharedCounts,
)
from .top_experts import MAX_EXPERTS, MAX_TOP, Weights

comptime SORT_THREADS = 1024
"""Threads of a block that sorts, and the rows that it places."""
comptime SORT_WARPS = SORT_THREADS // WARP_SIZE
comptime COMBINE_THREADS = 128
comptime COMBINE_FEATURES = COMBINE_THREADS * 8
"""Features that a block sums up."""


@always_inline
def _count_experts(
    counts: SharedCounts, chosen: ExpertIds, first: Int, end: Int
):
    """Count how often the rows from `first` to `end` have each expert; the warps of a block share them."""
    comptime AHEAD = 8
    """Loads under way at once: their latency is what this takes."""
    var lane = Int(lane_id())
    var lower = (UInt32(1) << UInt32(lane)) - 1
    var warp_index = Int(thread_idx.x) // WARP_SIZE
    for at in range(
        first + warp_index * AHEAD * WARP_SIZE,
        end,
        SORT_THREADS * AHEAD,
    ):
        var experts = SIMD[DType.uint32, AHEAD]()
        comptime for i in range(AHEAD):
            experts[i] = UInt32(
                chosen[unsafe_offset=min(at + i * WARP_SIZE + lane, end - 1)]
            )
        comptime for i in range(AHEAD):
            # Lanes beyond the end agree with one another on an expert that there is not.
            var expert = experts[
                i
            ] if at + i * WARP_SIZE + lane < end else UInt32(MAX_EXPERTS)
            var same = match_any(expert)
            if expert < UInt32(MAX_EXPERTS) and same & lower == 0:
                shared_add(
                    UInt32(Int(counts)) + expert * 4,
                    UInt32(pop_count(same)),
                )


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
    """One block for `SORT_THREADS` rows; see `sort_rows`.

    Each block counts the rows of all others for itself: they are few bytes in L2, and blocks that wait for one another
    would need a second launch.
    """
    # First how often a warp has each expert, then where its rows of that expert go.
    var counts = stack_allocation[
        SORT_WARPS * MAX_EXPERTS, UInt32, address_space=AddressSpace.SHARED
    ]()
    var before = stack_allocation[
        MAX_EXPERTS, UInt32, address_space=AddressSpace.SHARED
    ]()
    var after = stack_allocation[
        MAX_EXPERTS, UInt32, address_space=AddressSpace.SHARED
    ]()
    var firsts = stack_allocation[
        MAX_EXPERTS, UInt32, address_space=AddressSpace.SHARED
    ]()
    comptime GROUPS = MAX_EXPERTS // WARP_SIZE
    var sums = stack_allocation[
        GROUPS, UInt32, address_space=AddressSpace.SHARED
    ]()
    var thread = Int(thread_idx.x)
    var lane = Int(lane_id())
    var warp_index = thread // WARP_SIZE
    var first = Int(block_idx.x) * SORT_THREADS
    var end = min(first + SORT_THREADS, Int(count))
    var warps = ceildiv(end - first, WARP_SIZE)
    var row = first + thread
    for i in range(thread, warps * MAX_EXPERTS, SORT_THREADS):
        counts[unsafe_offset=i] = 0
    if thread < MAX_EXPERTS:
        before[unsafe_offset=thread] = 0
        after[unsafe_offset=thread] = 0
    # Nothing was read or written so far but shared memory.
    grid_wait()
    # Lanes beyond the end agree with one another on an expert that there is not.
    var expert = UInt32(MAX_EXPERTS)
    if row < end:
        expert = UInt32(chosen[unsafe_offset=row])
    barrier()

    _count_experts(before, chosen, 0, first)
    _count_experts(after, chosen, end, Int(count))
    var mine = counts.unsafe_offset(warp_index * MAX_EXPERTS)
    var same = match_any(expert)
    var here = expert < UInt32(MAX_EXPERTS)
    var below = same & ((UInt32(1) << UInt32(lane)) - 1)
    if here and below == 0:
        mine[unsafe_offset=Int(expert)] = UInt32(pop_count(same))
    barrier()

    # Where each expert's rows start, and within them each warp's: a thread an expert.
    var total = UInt32(0)
    var sum = UInt32(0)
    if thread < MAX_EXPERTS:
        total = before[unsafe_offset=thread]
        for other in range(warps):
            var at = other * MAX_EXPERTS + thread
            var number = counts[unsafe_offset=at]
            counts[unsafe_offset=at] = total
            total += number
        total += after[unsafe_offset=thread]
        sum = total
        comptime for step in range(5):
            var other = warp.shuffle_up(sum, UInt32(1 << step))
            if lane >= 1 << step:
                sum += other
        if lane == WARP_SIZE - 1:
            sums[unsafe_offset=warp_index] = sum
    barrier()
    if thread < MAX_EXPERTS:
        comptime for group in range(GROUPS - 1):
            if group < warp_index:
                sum += sums[unsafe_offset=group]
        firsts[unsafe_offset=thread] = sum - total
        if first == 0 and thread < Int(experts):
            starts[unsafe_offset=thread + 1] = sum
            if thread == 0:
                starts[unsafe_offset=0] = 0
                comptime for i in range(COUNTERS):
                    starts[unsafe_offset=Int(experts) + 1 + i] = 0
    barrier()

    if here:
        var place = (
            firsts[unsafe_offset=Int(expert)]
            + mine[unsafe_offset=Int(expert)]
            + UInt32(pop_count(below))
        )
        places[unsafe_offset=row] = place
        sources[unsafe_offset=Int(place)] = UInt32(row) // top


def sort_blocks(rows: Int) -> Int:
    """How many blocks `sort_kernel` takes for so many rows; without any, one still writes where the experts start."""
    return max(ceildiv(rows, SORT_THREADS), 1)


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(COMBINE_THREADS))
)
def combine_kernel[
    TOP: Int
](y: Half, rows: Half, places: RowIndices, weights: Weights, features: UInt32):
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
    """Whether so many tokens go to `route_many`, whose blocks have all of the router, and not to `route_few`, whose clusters
    share it.
    """
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
        router: Its weights, bf16 [E, H]. They are read before the kernel in front of this one has ended, so that one must not
            write them, and none that may still run then: weights that were loaded before are right, and what a copy brings.
        bias: Its bias, bf16 [E], read as early.
        tokens: T.
        features: H, a multiple of 8.
        experts: E, at most 256.
        top: K, at most 8.
        ctx: The device.

    Raises:
        When a number is outside these limits, or the launch fails.
    """
    if route_wide(tokens):
        route_many(
            chosen,
            weights,
            x,
            router,
            bias,
            tokens=tokens,
            features=features,
            experts=experts,
            top=top,
            ctx=ctx,
        )
    else:
        route_few(
            chosen,
            weights,
            x,
            router,
            bias,
            tokens=tokens,
            features=features,
            experts=experts,
            top=top,
            ctx=ctx,
        )


def route_few(
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
    """Enqueue what `route` does, with the kernel for few tokens, of which it takes any number."""
    _check(experts, top, features)
    if tokens == 0:
        return
    comptime for i in range(6):
        comptime COLUMNS = [32, 128, MAX_EXPERTS][i // 2]
        comptime TOKENS = [8, 16][i % 2]
        if route_columns(experts) == COLUMNS and few_tokens(tokens) == TOKENS:
            ctx.enqueue_function[route_few_kernel[COLUMNS, TOKENS]](
                chosen,
                weights,
                x,
                router,
                bias,
                UInt32(tokens),
                UInt32(features),
                UInt32(experts),
                UInt32(top),
                grid_dim=few_blocks(tokens),
                block_dim=FEW_THREADS,
                cluster_dim=Dim(FEW_BLOCKS, 1, 1),
                attributes=pdl_launch_attributes(PDLLevel.ON),
            )


def route_many(
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
    """Enqueue what `route` does, with the kernel for many tokens, of which it takes any number."""
    _check(experts, top, features)
    if tokens == 0:
        return
    comptime for i in range(3):
        comptime COLUMNS = [32, 128, MAX_EXPERTS][i]
        comptime Shape = RouteShape[COLUMNS]
        if route_columns(experts) == COLUMNS:
            ctx.enqueue_function[route_many_kernel[COLUMNS]](
                chosen,
                weights,
                x,
                router,
                bias,
                UInt32(tokens),
                UInt32(features),
                UInt32(experts),
                UInt32(top),
                grid_dim=ceildiv(tokens, Shape.TOKENS),
                block_dim=Shape.THREADS,
                shared_mem_bytes=Shape.SHARED_BYTES,
                func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                    UInt32(Shape.SHARED_BYTES)
                ),
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
        starts: Result, u32 [E + 1 + COUNTERS]: first row of each expert, the end of the last, and counters that are 0.
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
        grid_dim=sort_blocks(tokens * top),
        block_dim=SORT_THREADS,
        attributes=pdl_launch_attributes(PDLLevel.ON),
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
