"""What a block of the dense matmuls for few tokens does with a slot of its ring: `few.mojo` and `head.mojo`.

Tokens and weights go through shared memory, slot by slot (`cp.async`), and stand there as `mma_tile.mojo` has it.

Some warps copy tokens and the others weights. A thread waits for its own copies alone; a barrier of the block makes them
everyone's.

Both kernels are launched to overlap with the one before (programmatic dependent launch, `OVERLAP`): their blocks may begin
when that one's blocks have all said so or ended, while its results are not to be seen yet. So

- the warps with weights fill the ring right away, and wait for the end of the kernels before when all that is under way;
- the warps with tokens wait first. Copies are counted thread by thread: tokens that come late keep no weights waiting, and a
  step is multiplied as soon as its own are there, whatever else was asked for before;
- then every thread has waited: before that, nothing is read but weights, and nothing is written but shared memory. Only
  then may the next kernel's blocks begin, so that none runs beside a kernel before this one.

Weights must therefore be there before the kernel before begins: constants are.
"""

from max.gpu.host import LaunchAttribute
from max.gpu.primitives.grid_controls import PDLLevel, pdl_launch_attributes

from ..mma_tile import COPY, LANES, MmaTile, WarpTiles
from ..pointers import BF16, SharedBytes
from ..ptx import copy16, copy16_with, evict_first

comptime WARPS = 8
comptime THREADS = WARPS * LANES


def launch_attributes[OVERLAP: Bool]() -> List[LaunchAttribute]:
    """How a kernel is launched that may begin before the one before it has ended."""
    return pdl_launch_attributes(PDLLevel.ON if OVERLAP else PDLLevel.OFF)


def few_tile(tokens: Int) -> Int:
    """For how many tokens a kernel is compiled that takes so many: 16, 32, 64 or 128, and of more several tiles."""
    if tokens <= 16:
        return 16
    if tokens <= 32:
        return 32
    return 64 if tokens <= 64 else 128


struct DenseTile[TOKENS: Int, ROWS: Int, DOWN: Int, WIDTH: Int]:
    """How a block for `TOKENS` tokens and `ROWS` weight rows divides a slot among its warps, and where things stand in it.

    Parameters:
        TOKENS: Tokens in a tile.
        ROWS: Weight rows in a tile.
        DOWN: Tokens of a warp, a multiple of 16.
        WIDTH: Weight rows of a warp, a multiple of 8.
    """

    comptime Warps = WarpTiles[
        Self.TOKENS, Self.ROWS, Self.DOWN, Self.WIDTH, WARPS
    ]
    """Which tokens, rows and features each warp multiplies."""
    comptime PARTS = Self.Warps.PARTS
    comptime STEP = max(Self.PARTS * 32, 64) if Self.TOKENS > 16 else 128
    """Features in a slot: at least a line of 128 bytes of each row."""
    comptime ROUNDS = Self.STEP // (Self.PARTS * 32)
    """How often a warp takes 32 features of a slot, two instructions deep."""
    comptime CHUNKS = Self.STEP * 2 // COPY
    """Pieces of 16 bytes in a row of a slot."""
    comptime SLOT_BYTES = (Self.TOKENS + Self.ROWS) * Self.STEP * 2
    """A slot: rows of tokens, then rows of weights."""

    comptime AT_ONCE = LANES // Self.CHUNKS
    """Rows that a warp copies at once."""
    comptime TOKEN_WARPS = 2 if Self.TOKENS * 2 <= Self.ROWS else 4
    """Warps that copy tokens, the first ones; the others copy weights."""
    comptime TOKEN_PASS = Self.TOKEN_WARPS * Self.AT_ONCE
    """Tokens that those warps copy at once, and so many further a thread has its next."""
    comptime ROW_PASS = (WARPS - Self.TOKEN_WARPS) * Self.AT_ONCE
    """The same of weight rows."""

    comptime Mma = MmaTile[Self.DOWN, Self.WIDTH, Self.CHUNKS]
    """What a warp multiplies at once."""
    comptime Sums = Self.Mma.Sums

    @staticmethod
    def check():
        """What must hold, when this is compiled."""
        comptime assert Self.TOKENS % Self.TOKEN_PASS == 0
        comptime assert Self.ROWS % Self.ROW_PASS == 0
        # A thread's rows are all even or all odd.
        comptime assert Self.TOKEN_PASS % 2 == 0 and Self.ROW_PASS % 2 == 0
        Self.Warps.check()
        Self.Mma.check()

    @staticmethod
    @always_inline
    def copies_tokens(thread: Int) -> Bool:
        """Whether this thread copies tokens, or weights."""
        return thread // LANES < Self.TOKEN_WARPS

    @staticmethod
    @always_inline
    def copied_row(thread: Int) -> Int:
        """The first of the tokens, or of the weight rows, of which a thread copies a piece."""
        var warp = thread // LANES
        if not Self.copies_tokens(thread):
            warp -= Self.TOKEN_WARPS
        return warp * Self.AT_ONCE + thread % LANES // Self.CHUNKS

    @staticmethod
    @always_inline
    def copied_chunk(thread: Int) -> Int:
        """Which piece of those."""
        return thread % Self.CHUNKS

    @staticmethod
    @always_inline
    def copied_place(thread: Int) -> Int:
        """Where in a slot the first of them goes."""
        var row = Self.copied_row(thread)
        if not Self.copies_tokens(thread):
            row += Self.TOKENS
        return Self.Mma.place(row, Self.copied_chunk(thread))

    @staticmethod
    @always_inline
    def copy_tokens(
        target: UInt32, x: BF16, at: UInt32, left: Int32, features: UInt32
    ):
        """Ask for a thread's pieces of the tokens.

        Args:
            target: Where in shared memory the first goes.
            x: Tokens.
            at: The first value of the first piece, counted from `x`.
            left: How many tokens there are from the first on; 0 or less copies zeros.
            features: Values from a token to the next.
        """
        comptime for i in range(Self.TOKENS // Self.TOKEN_PASS):
            comptime BELOW = i * Self.TOKEN_PASS
            var in_bounds = Int32(BELOW) < left
            copy16(
                target + UInt32(BELOW * Self.CHUNKS * COPY),
                x.unsafe_offset(
                    Int(at + UInt32(BELOW) * features) if in_bounds else 0
                ),
                UInt32(COPY) if in_bounds else 0,
            )

    @staticmethod
    @always_inline
    def copy_weights[
        FIRST_OUT: Bool
    ](target: UInt32, w: BF16, at: UInt32, left: Int32, features: UInt32,):
        """Ask for a thread's pieces of the weights; as `copy_tokens`.

        Parameters:
            FIRST_OUT: Whether they leave the L2 cache before anything else. In a short branch ptxas 12.9 and 13.0 make an
                illegal instruction of that.
        """
        comptime for i in range(Self.ROWS // Self.ROW_PASS):
            comptime BELOW = i * Self.ROW_PASS
            var in_bounds = Int32(BELOW) < left
            var here = target + UInt32(BELOW * Self.CHUNKS * COPY)
            var source = w.unsafe_offset(
                Int(at + UInt32(BELOW) * features) if in_bounds else 0
            )
            var bytes = UInt32(COPY) if in_bounds else 0
            comptime if FIRST_OUT:
                copy16_with(here, source, bytes, evict_first())
            else:
                copy16(here, source, bytes)

    @staticmethod
    @always_inline
    def piece(warp: Int, round: Int, lane: Int) -> Int:
        """Which piece of 16 bytes of its rows a lane reads."""
        return (round * Self.PARTS + Self.Warps.part(warp)) * 4 + lane % 4

    @staticmethod
    @always_inline
    def multiply(slot: SharedBytes, warp: Int, lane: Int, mut sums: Self.Sums):
        """Add to a warp's sums what its part of a slot makes."""
        var token = Self.Warps.first_token(warp) + lane // 4
        var row = Self.TOKENS + Self.Warps.first_row(warp) + lane // 4
        comptime for round in range(Self.ROUNDS):
            var piece = Self.piece(warp, round, lane)
            Self.Mma.multiply[AT_ONCE=Self.Mma.WIDE](
                slot.unsafe_offset(Self.Mma.place(token, piece)),
                slot.unsafe_offset(Self.Mma.place(row, piece)),
                sums,
            )
