"""What follows from the shape of a tile: how many threads a block has, and what each of them does."""

from std.bit import next_power_of_two

from ...layout import TILE, TILE_WORDS
from ..schedule import UNITS_AHEAD

comptime TILE_BYTES = TILE_WORDS * 4
"""Codes and scales of a tile of 64 weight rows by 64 columns."""

comptime BLOCK_BYTES = 227 * 1024
"""Most shared memory of a block on sm_90."""

comptime RING_BYTES = 220 * 1024
"""What slots and exchange may take of it; barriers, units and counts need the rest."""

comptime MOST_STAGES = 16
"""Most slots of the ring."""

comptime WIDTHS: List[Int] = [8, 16, 32, 64, 128, 256]
"""The most tokens in a tile for which the kernel is compiled, ascending; a warpgroup's sums leave no room for more than 256."""


def least_row_tiles(width: Int) -> Int:
    """The fewest tiles of 64 weight rows in a unit for which the kernel is compiled; the most are 2."""
    return 1 if width <= 16 else 2


comptime PLAIN = 0
"""Epilogue: y = x w^T."""
comptime BIAS = 1
"""Epilogue: y = x w^T + b."""
comptime SWIGLU = 2
"""Epilogue: GPT-OSS's gated activation of x w^T + b, gate in even and up in odd weight rows."""


def accumulators(width: Int) -> Int:
    """Accumulators of a lane for a tile of `width` tokens, rounded up to a power of two; the rest takes no register."""
    return next_power_of_two(width) // 2


struct Config[TOKENS: Int, ROW_TILES: Int]:
    """One compiled shape of the kernel.

    Parameters:
        TOKENS: Most tokens in a tile, one of `WIDTHS`.
        ROW_TILES: Tiles of 64 weight rows in a unit of work, each with warpgroups of its own.
    """

    comptime K_SPLIT = 4 // Self.ROW_TILES if Self.TOKENS <= 32 else 1
    """Warpgroups that share the K of one tile of weight rows, taking its steps in turn.

    With few tokens the decode is the work, and two warps a scheduler do not hide its latency; with many tokens the
    accumulators leave no registers for more.
    """
    comptime CONSUMERS = Self.ROW_TILES * Self.K_SPLIT
    """Warpgroups that multiply."""
    comptime THREADS = 128 * (1 + Self.CONSUMERS)
    """Threads of a block: one warpgroup that loads and those that multiply."""
    comptime TOKEN_THREADS = 64 if Self.TOKENS <= 64 else 128
    """Threads that copy tokens: eight 16-byte pieces make a row of 64 columns, so each eight threads are a row of a pass.

    With few tokens, those that stream weights do nothing else, and never wait for a token. With many, two warps would
    not keep up.
    """
    comptime DYNAMIC = Self.TOKENS == 8 or Self.TOKENS == 64
    """Whether units are dynamic: a block takes the next when it is free, and not each so many units further on. Where it was
    faster.
    """
    comptime HALVES = Self.TOKENS == 8 and Self.ROW_TILES == 2
    """Whether the last units are given out tile by tile of rows, so that all blocks end at about the same time: where the memory
    is the limit and not the tensor cores, which half a unit leaves idle.
    """

    comptime MOVES_REGISTERS = Self.TOKENS > 128
    """Whether the warpgroup that loads gives registers to those that multiply, which have more sums than fit otherwise."""
    comptime STAGGERED = Self.TOKENS == 256
    """Whether one of the warpgroups that multiply runs behind the other, so that it multiplies while that one writes results."""

    comptime DEPTH = 2 if Self.TOKENS <= 64 else 1
    """Steps that a warpgroup finds in one slot of the ring: two where that leaves enough slots, for half the waiting."""
    comptime STEPS = Self.K_SPLIT * Self.DEPTH
    """Steps in one slot, each 64 columns of K."""
    comptime TOKEN_BYTES = Self.TOKENS * TILE * 2
    """Tokens of a step."""
    comptime ROW_TILE_BYTES = Self.STEPS * TILE_BYTES
    """Weights of one tile of rows in a slot."""
    comptime WEIGHT_BYTES = Self.ROW_TILES * Self.ROW_TILE_BYTES
    """Weights of a slot."""
    comptime SLOT_BYTES = Self.STEPS * Self.TOKEN_BYTES + Self.WEIGHT_BYTES
    """Tokens and weights of a slot."""
    comptime EXCHANGED = 128 * (Self.TOKENS // 2)
    """Sums of a warpgroup."""
    comptime EXCHANGE_BYTES = Self.ROW_TILES * (
        Self.K_SPLIT - 1
    ) * Self.EXCHANGED * 4
    """Where all but the first of the warpgroups that share a K leave their sums for the first."""
    comptime STAGES = min(
        MOST_STAGES, (RING_BYTES - Self.EXCHANGE_BYTES) // Self.SLOT_BYTES
    )
    """Slots of the ring: as deep as shared memory allows."""

    @staticmethod
    def check():
        """What must hold, when this is compiled."""
        comptime assert Self.TOKENS % 8 == 0 and Self.TOKENS <= 256
        # Tiles that one warpgroup multiplies alone are narrowed in steps of 32.
        comptime assert Self.K_SPLIT > 1 or Self.TOKENS % 32 == 0
        comptime assert Self.ROW_TILES == 1 or Self.ROW_TILES == 2
        comptime assert Self.THREADS <= 1024
        # One step is multiplied while others are under way.
        comptime assert Self.STAGES >= 3
        # A block's threads are told their units in entries that must not come round while one is still wanted.
        comptime assert Self.STAGES + 2 <= UNITS_AHEAD
        # Tokens stand at multiples of 1024 bytes, as the swizzle wants, and bulk copies at multiples of 16.
        comptime assert Self.TOKEN_BYTES % 1024 == 0
        comptime assert Self.ROW_TILE_BYTES % 16 == 0
