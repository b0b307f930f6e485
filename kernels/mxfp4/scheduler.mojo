"""Which tile a thread block works on next.

Tiles are numbered group by group, and inside a group with the token block running fastest: blocks that run at the same
time then share weights through L2, and every token block of a group finds the same rows of weights. Uneven experts balance
because tiles of all experts stand in one sequence.

Thread block b begins with tile b. What comes after, one thread of it decides for all: the next that no block has, which
takes a counter in memory, or without one tile b + grid, b + 2 grid, ... With a counter, a multiprocessor that gets less of
the memory's bandwidth than others takes fewer tiles.
"""

from std.math import align_up, ceildiv
from std.memory import Pointer

from max.gpu import WARP_SIZE, grid_dim, lane_id
from max.gpu.memory import AddressSpace
from max.gpu.primitives import warp

from .ptx import barrier_arrive, barrier_wait, pin, take_turn

comptime SharedCounts = Pointer[
    UInt32, MutUntrackedOrigin, address_space=AddressSpace.SHARED
]
comptime GroupStarts = Pointer[UInt32, MutAnyOrigin]
comptime ExpertIds = Pointer[Int32, MutAnyOrigin]
comptime RowIndices = Pointer[UInt32, MutAnyOrigin]

comptime COUNTERS = 2
"""Counters that stand behind the starts of the groups: for the first projection of a layer and for the second, which may begin
before the first has ended."""
comptime TURNS = 32
"""Entries in which a block's threads are told their tiles. The thread that decides is at most as many tiles ahead of another
as the ring has slots, 16, and one that it decided early: no entry is written again while somebody wants it."""


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
    var only: UInt32
    """0 for all rows of the block, 1 + i for tile i of them alone."""


struct Turns(TrivialRegisterPassable):
    """The tiles of a thread block, as each of the threads that load walks through them."""

    var index: UInt32
    """The tile that it is at."""
    var before: UInt32
    """How many it had before."""
    var entries: SharedCounts
    """Where the tiles are told, `TURNS` of them."""
    var told: UInt32
    """The barriers that say that an entry is written: one arrival each."""

    @always_inline
    def __init__(out self, index: UInt32, entries: SharedCounts, told: UInt32):
        self.index = index
        self.before = 0
        self.entries = entries
        self.told = told

    @always_inline
    def next(self, counter: UInt64, tiles: UInt32) -> UInt32:
        """Decide which of `tiles` tiles comes next, at or beyond them for none; one thread does, once for each tile. It is asked
        for before anyone wants to know, and should be told when it has come, before anyone has to wait.
        """
        var blocks = UInt32(grid_dim.x)
        if counter != 0:
            return blocks + take_turn(counter, tiles - 1)
        return self.index + blocks

    @always_inline
    def tell(self, index: UInt32):
        """Say which tile comes next; one thread does."""
        var entry = self.before % TURNS
        self.entries[unsafe_offset=Int(entry)] = index
        barrier_arrive(self.told + entry * 8)

    @always_inline
    def advance(mut self):
        """Go to the next tile, when it is known."""
        var entry = self.before % TURNS
        barrier_wait(self.told + entry * 8, self.before // TURNS % 2)
        self.index = self.entries[unsafe_offset=Int(entry)]
        self.before += 1


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
        0,
    )
