"""The warpgroup that loads: it fills the ring with the weights and tokens of one unit after the other."""

from std.bit import next_power_of_two
from std.math import ceildiv

from max.gpu import thread_idx
from max.gpu.memory import (
    async_copy_commit_group,
    async_copy_wait_group,
    fence_async_view_proxy,
)

from ...layout import TILE
from ...pointers import BF16, RowIndices, SharedWords
from ...ptx import (
    barrier_arrive,
    barrier_arrive_expect,
    bulk_copy,
    copy16,
    evict_first,
    grid_wait,
    prefetch,
)
from ..schedule import Unit, Units
from .config import Config, PLAIN, TILE_BYTES
from .operands import Operands
from .shared_memory import END, Ring, SharedMemory

comptime LOADS_WEIGHTS = 1
"""Role: a thread that streams weights and does nothing else."""
comptime LOADS_TOKENS = 2
"""Role: a thread that copies tokens."""
comptime LOADS_BOTH = 3
"""Role: a thread that copies tokens and may stream weights beside it."""


struct WeightLoader[TOKENS: Int, ROW_TILES: Int](TrivialRegisterPassable):
    """A thread that streams the weights of one tile of rows: one copy a slot."""

    comptime Shape = Config[Self.TOKENS, Self.ROW_TILES]
    comptime BYTES = Self.Shape.ROW_TILE_BYTES

    var target: UInt32
    """Where its weights lie in slot 0."""
    var full: UInt32
    """The barriers that say that a slot is full."""
    var units: SharedWords
    """What the consumers work on, beside each slot."""
    var row_tile: Int
    """Which tile of rows of a unit."""
    var policy: UInt64
    """Each weight is read once, or by several blocks at about the same time: let it leave the cache before anything else."""
    var unit: Unit
    """The unit."""
    var source: UInt64
    """Address of what comes next."""
    var left: UInt32
    """Bytes that are still to come of this unit."""
    var is_first: Bool
    """Whether nothing of this unit has come yet."""

    @always_inline
    def __init__(
        out self,
        memory: SharedMemory[Self.TOKENS, Self.ROW_TILES],
        row_tile: Int,
    ):
        self.target = memory.weights() + UInt32(row_tile * Self.BYTES)
        self.full = memory.full()
        self.units = memory.words[memory.UNITS]()
        self.row_tile = row_tile
        self.policy = evict_first()
        self.unit = Unit()
        self.source = 0
        self.left = 0
        self.is_first = False

    @always_inline
    def begin[
        EPILOGUE: Int
    ](mut self, unit: Unit, operands: Operands, steps: UInt32):
        """Go to the next unit."""
        var n = operands.n
        var row_tile = unit.row_block * UInt32(Self.ROW_TILES) + UInt32(
            self.row_tile
        )
        var row_tiles = ceildiv(n, UInt32(TILE))
        self.unit = unit
        self.source = UInt64(
            Int(operands.weights())
            + Int((unit.expert * row_tiles + row_tile) * steps) * TILE_BYTES
        )
        # The last unit of an expert may lack its second tile of rows.
        var is_mine = unit.has(self.row_tile)
        self.left = (
            steps * UInt32(TILE_BYTES) if is_mine
            and row_tile < row_tiles else 0
        )
        self.is_first = True
        comptime if EPILOGUE != PLAIN:
            # Who writes the results wants their bias only then, and would wait for memory.
            if row_tile < row_tiles:
                prefetch(
                    UInt64(
                        Int(operands.bias())
                        + Int(unit.expert * n + row_tile * UInt32(TILE)) * 2
                    )
                )

    @always_inline
    def fill(mut self, slot: UInt32):
        """Fill its part of a slot, which is empty."""
        if self.is_first and self.row_tile == 0:
            # The consumers learn from here what they work on; the slot's barrier publishes it.
            self.units.unsafe_offset(Int(slot) * 4).unsafe_store[alignment=16](
                self.unit.words()
            )
        self.is_first = False
        var bytes = min(self.left, UInt32(Self.BYTES))
        self.left -= bytes
        if bytes > 0:
            barrier_arrive_expect(self.full + slot * 8, bytes)
            bulk_copy(
                self.target + slot * UInt32(Self.Shape.WEIGHT_BYTES),
                self.source,
                bytes,
                self.full + slot * 8,
                self.policy,
            )
            self.source += UInt64(Self.BYTES)
        else:
            barrier_arrive(self.full + slot * 8)

    @always_inline
    def finish(self, slot: UInt32):
        """Say in a slot, which is empty, that no more comes."""
        if self.row_tile == 0:
            self.units[unsafe_offset=Int(slot) * 4] = END
        barrier_arrive(self.full + slot * 8)


struct TokenLoader[TOKENS: Int, ROW_TILES: Int, GATHER: Bool](
    TrivialRegisterPassable
):
    """A thread that copies tokens: column piece `piece` of rows `row`, `row` + `PASS`, ..."""

    comptime Shape = Config[Self.TOKENS, Self.ROW_TILES]
    comptime PASS = Self.Shape.TOKEN_THREADS // 8
    """Rows that all those threads copy at once."""
    comptime ROWS = Self.TOKENS // Self.PASS
    """Rows of a thread."""
    comptime LAG = Self.Shape.STAGES // 2
    """Slots that it has begun to fill before it says of the first that it is full."""
    comptime STEPS = Self.Shape.STEPS
    comptime TOKEN_BYTES = Self.Shape.TOKEN_BYTES

    var target: UInt32
    """Where its piece of its first row lies in slot 0."""
    var full: UInt32
    """The barriers that say that a slot is full."""
    var piece: Int
    """Which 16 bytes of a row of 64 columns."""
    var row: Int
    """Its first row in the tile."""
    var unit: Unit
    """The unit."""
    var held: SIMD[
        DType.uint32, next_power_of_two(Self.ROWS) if Self.GATHER else 1
    ]
    """Where its rows come from."""
    var issued: UInt32
    """Slots that it has begun to fill."""
    var landed: Ring[Self.Shape.STAGES]
    """The oldest slot of which it has not said that it is full."""

    @always_inline
    def __init__(
        out self,
        memory: SharedMemory[Self.TOKENS, Self.ROW_TILES],
        thread: Int,
    ):
        self.piece = thread % 8
        self.row = thread // 8
        # 128-byte swizzle: the piece's place is xor-ed with the row number modulo 8, which is the same for all its rows.
        self.target = memory.tokens() + UInt32(
            self.row * 128 + (self.piece ^ (self.row % 8)) * 16
        )
        self.full = memory.full()
        self.unit = Unit()
        self.held = 0
        self.issued = 0
        self.landed = Ring[Self.Shape.STAGES]()

    @always_inline
    def begin(mut self, unit: Unit, sources: RowIndices):
        """Go to the next unit."""
        self.unit = unit
        comptime if Self.GATHER:
            comptime for i in range(Self.ROWS):
                if i * Self.PASS < Int(unit.tokens) - self.row:
                    self.held[i] = sources[
                        unsafe_offset=Int(unit.first) + self.row + i * Self.PASS
                    ]

    @always_inline
    def fill(mut self, slot: UInt32, index: UInt32, x: BF16, k: UInt32):
        """Fill its part of a slot, which is empty, with the columns of the unit's slot `index`."""
        comptime for step in range(Self.STEPS):
            var column = (
                Int(index) * Self.STEPS + step
            ) * TILE + self.piece * 8
            # NOTE: what decides about a row must depend on the step, or the compiler keeps one register a row alive
            # over all steps and spills.
            var remaining = (
                Int(self.unit.tokens) - self.row if column < Int(k) else 0
            )
            var source = x.unsafe_offset(column)
            comptime if not Self.GATHER:
                source = source.unsafe_offset(
                    (Int(self.unit.first) + self.row) * Int(k)
                )
            comptime for i in range(Self.ROWS):
                comptime if i * Self.PASS % 32 == 0:
                    # Beyond the tile's width nobody reads.
                    if UInt32(i * Self.PASS) >= self.unit.tokens:
                        break
                var from_here = source
                comptime if Self.GATHER:
                    from_here = source.unsafe_offset(Int(self.held[i]) * Int(k))
                copy16(
                    self.target
                    + slot * UInt32(Self.STEPS * Self.TOKEN_BYTES)
                    + UInt32(
                        step * Self.TOKEN_BYTES + i * Self.PASS * TILE * 2
                    ),
                    from_here,
                    UInt32(16) if i * Self.PASS < remaining else 0,
                )
                comptime if not Self.GATHER:
                    source = source.unsafe_offset(Self.PASS * Int(k))
        async_copy_commit_group()
        # NOTE: these writes go through the generic proxy, WGMMA reads through the asynchronous one: the writer must fence
        # after its copies landed and before it arrives, hence the lag.
        self.issued += 1
        if self.issued > UInt32(Self.LAG):
            async_copy_wait_group(Int32(Self.LAG))
            self._arrive()

    @always_inline
    def finish(mut self):
        """Say of the last slots that they are full."""
        async_copy_wait_group(Int32(0))
        for _ in range(min(self.issued, UInt32(Self.LAG))):
            self._arrive()

    @always_inline
    def _arrive(mut self):
        fence_async_view_proxy()
        barrier_arrive(self.full + self.landed.slot * 8)
        self.landed.advance()


@always_inline
def produce[
    TOKENS: Int,
    ROW_TILES: Int,
    EPILOGUE: Int,
    GATHER: Bool,
    AFTER_PRODUCT: Bool,
    *,
    ROLE: Int,
](
    memory: SharedMemory[TOKENS, ROW_TILES],
    operands: Operands,
    mut units: Units[
        TOKENS,
        DYNAMIC=Config[TOKENS, ROW_TILES].DYNAMIC,
        HALVES=Config[TOKENS, ROW_TILES].HALVES,
    ],
    mut weights_of: WeightLoader[TOKENS, ROW_TILES],
    mut tokens_of: TokenLoader[TOKENS, ROW_TILES, GATHER],
    has_weights: Bool,
    steps: UInt32,
    slots: UInt32,
):
    """Fill the ring with all units of this block.

    It is compiled once for each role that a shape has: threads that share one loop wait for one another.

    Parameters:
        TOKENS: See `Config`.
        ROW_TILES: See `Config`.
        EPILOGUE: Whether a bias is wanted.
        GATHER: Whether rows of tokens are looked up.
        AFTER_PRODUCT: Whether the kernel before makes the tokens, and has not been waited for.
        ROLE: `LOADS_WEIGHTS`, `LOADS_TOKENS` or `LOADS_BOTH`.

    Args:
        memory: The block's shared memory.
        operands: The operands.
        units: The units of this block.
        weights_of: This thread's weights, where it has some.
        tokens_of: This thread's tokens, where it has some.
        has_weights: Whether it streams weights; asked of `LOADS_BOTH` alone.
        steps: Steps of K.
        slots: Slots of the ring that a unit takes.
    """
    comptime DYNAMIC = Config[TOKENS, ROW_TILES].DYNAMIC
    comptime WEIGHTS = ROLE & LOADS_WEIGHTS != 0
    comptime OF_TOKENS = ROLE & LOADS_TOKENS != 0
    var streams = ROLE == LOADS_WEIGHTS or has_weights
    # One of those that stream weights decides for all.
    var leads = DYNAMIC and WEIGHTS and Int(thread_idx.x) == 0
    var ring = memory.Ring()
    comptime if AFTER_PRODUCT and OF_TOKENS:
        grid_wait()
    while units.is_there():
        var unit = units.unit()
        var next = UInt32(0)
        comptime if DYNAMIC and WEIGHTS:
            if leads:
                next = units.claim()
        comptime if OF_TOKENS:
            tokens_of.begin(unit, operands.sources())
        comptime if WEIGHTS:
            if streams:
                weights_of.begin[EPILOGUE](unit, operands, steps)
        for slot in range(slots):
            memory.wait_empty(ring)
            comptime if WEIGHTS:
                if streams:
                    weights_of.fill(ring.slot)
            comptime if OF_TOKENS:
                tokens_of.fill(ring.slot, slot, operands.x(), operands.k)
            ring.advance()
            comptime if DYNAMIC and WEIGHTS:
                if leads and slot == min(UInt32(1), slots - 1):
                    units.announce(next)
        units.advance()
    comptime if OF_TOKENS:
        tokens_of.finish()
    comptime if DYNAMIC:
        # Only now it is known that no more comes; one more slot says so.
        memory.wait_empty(ring)
        comptime if WEIGHTS:
            weights_of.finish(ring.slot)
        else:
            barrier_arrive(memory.full() + ring.slot * 8)
