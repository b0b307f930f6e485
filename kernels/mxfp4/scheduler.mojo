"""Which tile a thread block works on next.

Tiles are numbered group by group, and inside a group with the token block running fastest: blocks that run at the same
time then share weights through L2, and every token block of a group finds the same rows of weights. Thread block b
takes tiles b, b + grid, b + 2 grid, ... Nothing is communicated: uneven experts balance because tiles of all experts
stand in one sequence.
"""

from std.math import align_up, ceildiv
from std.memory import Pointer

from max.gpu import WARP_SIZE, lane_id
from max.gpu.memory import AddressSpace
from max.gpu.primitives import warp

from .ptx import pin

comptime SharedCounts = Pointer[
    UInt32, MutUntrackedOrigin, address_space=AddressSpace.SHARED
]
comptime GroupStarts = Pointer[UInt32, MutAnyOrigin]
comptime ExpertIds = Pointer[Int32, MutAnyOrigin]
comptime RowIndices = Pointer[UInt32, MutAnyOrigin]


@fieldwise_init
struct Tile(TrivialRegisterPassable):
    """One unit of work: a block of weight rows times a block of tokens of one expert."""

    var expert: UInt32
    """Which expert's weights."""
    var row_block: UInt32
    """Which block of `ROWS` weight rows."""
    var first: UInt32
    """First row of the tokens' matrix."""
    var tokens: UInt32
    """How many rows of tokens from there on."""


@always_inline
def count_tiles[
    tokens: Int
](
    ends: SharedCounts,
    starts: GroupStarts,
    ids: ExpertIds,
    groups: Int,
    row_blocks: Int,
):
    """Let one warp write, for every group, the number of tiles up to and including it.

    A group whose expert id is negative has none.
    """
    # All counts of a stretch are asked for before any is used: one wait for memory, not two for every 32 groups.
    comptime AT_ONCE = 4
    var before = UInt32(0)
    for base in range(0, groups, AT_ONCE * WARP_SIZE):
        var experts = SIMD[DType.int32, AT_ONCE](0)
        var firsts = SIMD[DType.uint32, AT_ONCE](0)
        var ends_of = SIMD[DType.uint32, AT_ONCE](0)
        comptime for i in range(AT_ONCE):
            var group = min(base + i * WARP_SIZE + Int(lane_id()), groups - 1)
            experts[i] = ids[unsafe_offset=group]
            firsts[i] = starts[unsafe_offset=group]
            ends_of[i] = starts[unsafe_offset=group + 1]
        comptime for i in range(AT_ONCE):
            # Pinned, or the compiler asks for a start only when it has seen the expert.
            firsts[i] = pin(firsts[i])
            ends_of[i] = pin(ends_of[i])
        comptime for i in range(AT_ONCE):
            if base + i * WARP_SIZE < groups:
                var group = base + i * WARP_SIZE + Int(lane_id())
                var tiles = UInt32(0)
                if group < groups and experts[i] >= 0:
                    var size = Int(ends_of[i]) - Int(firsts[i])
                    tiles = UInt32(ceildiv(max(size, 0), tokens) * row_blocks)
                comptime for step in range(5):
                    var other = warp.shuffle_up(tiles, UInt32(1 << step))
                    if Int(lane_id()) >= (1 << step):
                        tiles += other
                tiles += before
                if group < groups:
                    ends[unsafe_offset=group] = tiles
                before = warp.shuffle_idx(tiles, UInt32(WARP_SIZE - 1))


@always_inline
def tile_at[
    tokens: Int
](
    index: UInt32,
    ends: SharedCounts,
    starts: GroupStarts,
    ids: ExpertIds,
    groups: UInt32,
) -> Tile:
    """Look up tile `index`, which must be smaller than `ends[groups - 1]`."""
    var low = UInt32(0)
    var high = groups - 1
    while low < high:
        var middle = (low + high) // 2
        if ends[unsafe_offset=Int(middle)] > index:
            high = middle
        else:
            low = middle + 1
    var within = index
    if low > 0:
        within -= ends[unsafe_offset=Int(low) - 1]
    var start = starts[unsafe_offset=Int(low)]
    var end = starts[unsafe_offset=Int(low) + 1]
    # Blocks of equal size, in eights: a group of one token too many costs two half blocks, not two whole ones.
    var blocks = ceildiv(end - start, UInt32(tokens))
    var share = align_up(ceildiv(end - start, blocks), 8)
    var first = start + (within % blocks) * share
    return Tile(
        UInt32(ids[unsafe_offset=Int(low)]),
        within // blocks,
        first,
        min(share, end - first),
    )
