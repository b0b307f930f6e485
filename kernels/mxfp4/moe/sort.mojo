"""The order in which the rows of all tokens are multiplied: by expert, and within an expert as the tokens stand.

A stable counting sort in one kernel. Nothing waits for the host, and the same input gives the same bits.
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
from max.gpu.host import DeviceContext
from max.gpu.memory import AddressSpace
from max.gpu.primitives import warp
from max.gpu.primitives.grid_controls import PDLLevel, pdl_launch_attributes

from ..pointers import ExpertIds, GroupStarts, RowIndices, SharedWords, Words
from ..ptx import grid_wait, match_any, shared_add
from .schedule import COUNTERS
from .top_experts import MAX_EXPERTS, check_sizes

comptime SORT_THREADS = 1024
"""Threads of a block that sorts, and the rows that it places."""
comptime SORT_WARPS = SORT_THREADS // WARP_SIZE


@always_inline
def _count_experts(
    counts: SharedWords, chosen: ExpertIds, first: Int, end: Int
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
    counters: Words,
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
                    counters[unsafe_offset=i] = 0
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


def sort_rows(
    starts: GroupStarts,
    counters: Words,
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
        counters: Result, u32 [COUNTERS]: 0 each, for the products that come after (`grouped_matmul`).
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
    check_sizes(experts, top, 8)
    ctx.enqueue_function[sort_kernel](
        starts,
        counters,
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
