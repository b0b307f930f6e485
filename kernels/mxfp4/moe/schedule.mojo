"""Which unit of work a thread block takes next.

Units are numbered group by group, and inside a group with the token block running fastest: blocks that run at the same
time then share weights through L2, and every token block of a group finds the same rows of weights. Uneven experts balance
because units of all experts stand in one sequence.

Thread block b begins with unit b. What comes after is static, unit b + grid, b + 2 grid, ..., or dynamic: one thread of it
decides for all, and takes the next that no block has from a counter in memory. Then a multiprocessor that gets less of
the memory's bandwidth than others takes fewer units. `Units` walks through both.
"""

from std.math import align_up, ceildiv
from std.memory import Pointer

from max.gpu import WARP_SIZE, block_idx, grid_dim, lane_id
from max.gpu.primitives import warp

from ..pointers import ExpertIds, GroupStarts, SharedWords
from ..ptx import barrier_arrive, barrier_wait, count_up, pin

comptime MAX_GROUPS = 1024
"""Most expert groups in one call: their unit counts live in shared memory."""
comptime COUNTERS = 2
"""Counters of a layer: for its first projection and for its second, which may begin before the first has ended."""
comptime UNITS_AHEAD = 32
"""Entries in which a block's threads are told their dynamic units. The thread that decides is at most as many units ahead of
another as the ring has slots, 16, and one that it decided early: no entry is written again while somebody wants it."""


@fieldwise_init
struct Unit(TrivialRegisterPassable):
    """One unit of work: a block of weight rows times a block of tokens of one expert."""

    var expert: UInt32
    """Which expert's weights."""
    var row_block: UInt32
    """Which block of weight rows, each of one or two tiles."""
    var first: UInt32
    """First row of the tokens' matrix."""
    var tokens: UInt32
    """How many rows of tokens from there on."""
    var half: UInt32
    """0 for all rows of the block, 1 + i for tile i of them alone."""

    @always_inline
    def __init__(out self):
        """No unit."""
        self = Self(0, 0, 0, 0, 0)

    @always_inline
    def __init__(out self, words: SIMD[DType.uint32, 4]):
        """The unit that `words` made these of."""
        self = Self(
            words[0], words[1] & 0x3FFF_FFFF, words[2], words[3], words[1] >> 30
        )

    @always_inline
    def words(self) -> SIMD[DType.uint32, 4]:
        """The unit in four words, of which the first is the expert."""
        return SIMD[DType.uint32, 4](
            self.expert,
            self.row_block | self.half << 30,
            self.first,
            self.tokens,
        )

    @always_inline
    def has(self, row_tile: Int) -> Bool:
        """Whether this tile of its block's rows belongs to it."""
        return self.half == 0 or self.half == UInt32(1 + row_tile)


struct Groups(TrivialRegisterPassable):
    """The groups of rows, and how many units they have."""

    var ends: SharedWords
    """The number of units up to and including each group, which `count_units` writes."""
    var starts: Pointer[UInt32, MutUntrackedOrigin]
    """First row of each group and the end of the last."""
    var ids: Pointer[Int32, MutUntrackedOrigin]
    """Expert of each group; one whose id is negative has no units."""
    var count: UInt32
    """How many groups."""

    @always_inline
    def __init__(
        out self,
        ends: SharedWords,
        starts: GroupStarts,
        ids: ExpertIds,
        count: UInt32,
    ):
        self.ends = ends
        self.starts = starts.unsafe_origin_cast[MutUntrackedOrigin]()
        self.ids = ids.unsafe_origin_cast[MutUntrackedOrigin]()
        self.count = count


struct Units[TOKENS: Int, *, DYNAMIC: Bool, HALVES: Bool](
    TrivialRegisterPassable
):
    """The units of a thread block, as each of the threads that load walks through them.

    Parameters:
        TOKENS: Most tokens in a unit.
        DYNAMIC: Whether one thread decides what comes next, with `claim` and `announce`, and the others are told.
        HALVES: Whether the last units are halved, where they come from a counter.
    """

    var groups: Groups
    var index: UInt32
    """The unit that it is at."""
    var whole: UInt32
    """Units of the launch before any is halved."""
    var count: UInt32
    """Units with halves."""
    var counter: UInt64
    """Address of the counter, or 0 for the next static unit."""
    var before: UInt32
    """How many it had before."""
    var entries: SharedWords
    """Where dynamic units are told, `UNITS_AHEAD` of them."""
    var announced: UInt32
    """The barriers that say that an entry is written: one arrival each."""

    @always_inline
    def __init__(
        out self,
        groups: Groups,
        units: UInt32,
        counter: UInt64,
        entries: SharedWords,
        announced: UInt32,
    ):
        """The first of this block, of `units`."""
        self.groups = groups
        self.index = UInt32(block_idx.x)
        self.whole = units
        self.count = units
        comptime if Self.DYNAMIC and Self.HALVES:
            # The last of them become two each.
            self.count += min(units, UInt32(grid_dim.x)) if counter != 0 else 0
        self.counter = counter
        self.before = 0
        self.entries = entries
        self.announced = announced

    @always_inline
    def is_there(self) -> Bool:
        """Whether there is a unit to take."""
        return self.index < self.count

    @always_inline
    def unit(self) -> Unit:
        """Look up the unit that it is at."""
        comptime if Self.DYNAMIC and Self.HALVES:
            var first = 2 * self.whole - self.count
            if self.index >= first:
                var half = self.index - first
                var unit = unit_at[Self.TOKENS](first + half // 2, self.groups)
                unit.half = 1 + half % 2
                return unit
        return unit_at[Self.TOKENS](self.index, self.groups)

    @always_inline
    def claim(self) -> UInt32:
        """Decide which dynamic unit comes next, at or beyond `count` for none; one thread does, once for each unit. It is asked
        for before anyone wants to know, and should be announced when it has come, before anyone has to wait.
        """
        var blocks = UInt32(grid_dim.x)
        if self.counter != 0:
            return blocks + count_up(self.counter, self.count - 1)
        return self.index + blocks

    @always_inline
    def announce(self, index: UInt32):
        """Say which dynamic unit comes next; one thread does."""
        var entry = self.before % UNITS_AHEAD
        self.entries[unsafe_offset=Int(entry)] = index
        barrier_arrive(self.announced + entry * 8)

    @always_inline
    def advance(mut self):
        """Go to the next unit; to a dynamic one when it is known."""
        comptime if Self.DYNAMIC:
            var entry = self.before % UNITS_AHEAD
            barrier_wait(
                self.announced + entry * 8, self.before // UNITS_AHEAD % 2
            )
            self.index = self.entries[unsafe_offset=Int(entry)]
            self.before += 1
        else:
            self.index += UInt32(grid_dim.x)


@always_inline
def count_units[tokens: Int](groups: Groups, row_blocks: Int):
    """Let one warp write, for every group, the number of units up to and including it.

    A group whose expert id is negative has none.
    """
    # All counts of a stretch are asked for before any is used: one wait for memory, not two for every 32 groups.
    comptime AT_ONCE = 4
    var count = Int(groups.count)
    var before = UInt32(0)
    for base in range(0, count, AT_ONCE * WARP_SIZE):
        var experts = SIMD[DType.int32, AT_ONCE](0)
        var firsts = SIMD[DType.uint32, AT_ONCE](0)
        var ends_of = SIMD[DType.uint32, AT_ONCE](0)
        comptime for i in range(AT_ONCE):
            var group = min(base + i * WARP_SIZE + Int(lane_id()), count - 1)
            experts[i] = groups.ids[unsafe_offset=group]
            firsts[i] = groups.starts[unsafe_offset=group]
            ends_of[i] = groups.starts[unsafe_offset=group + 1]
        comptime for i in range(AT_ONCE):
            # Pinned, or the compiler asks for a start only when it has seen the expert.
            firsts[i] = pin(firsts[i])
            ends_of[i] = pin(ends_of[i])
        comptime for i in range(AT_ONCE):
            if base + i * WARP_SIZE < count:
                var group = base + i * WARP_SIZE + Int(lane_id())
                var units = UInt32(0)
                if group < count and experts[i] >= 0:
                    var size = Int(ends_of[i]) - Int(firsts[i])
                    units = UInt32(ceildiv(max(size, 0), tokens) * row_blocks)
                comptime for step in range(5):
                    var other = warp.shuffle_up(units, UInt32(1 << step))
                    if Int(lane_id()) >= (1 << step):
                        units += other
                units += before
                if group < count:
                    groups.ends[unsafe_offset=group] = units
                before = warp.shuffle_idx(units, UInt32(WARP_SIZE - 1))


@always_inline
def unit_at[tokens: Int](index: UInt32, groups: Groups) -> Unit:
    """Look up unit `index`, which must be smaller than the last group's end."""
    var low = UInt32(0)
    var high = groups.count - 1
    while low < high:
        var middle = (low + high) // 2
        if groups.ends[unsafe_offset=Int(middle)] > index:
            high = middle
        else:
            low = middle + 1
    var within = index
    if low > 0:
        within -= groups.ends[unsafe_offset=Int(low) - 1]
    var start = groups.starts[unsafe_offset=Int(low)]
    var end = groups.starts[unsafe_offset=Int(low) + 1]
    # Blocks of equal size, in eights: a group of one token too many costs two half blocks, not two whole ones.
    var blocks = ceildiv(end - start, UInt32(tokens))
    var share = align_up(ceildiv(end - start, blocks), 8)
    var first = start + (within % blocks) * share
    return Unit(
        UInt32(groups.ids[unsafe_offset=Int(low)]),
        within // blocks,
        first,
        min(share, end - first),
        0,
    )
