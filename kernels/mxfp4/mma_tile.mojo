"""Products of bf16 tiles by `mma.m16n8k16`, with both operands in a slot of shared memory: the router for many tokens and the
dense matmuls for few are made of it.

Tokens are the rows of the instruction, weight rows its columns. A slot holds rows of tokens, then rows of weights, in pieces
of 16 bytes. Every other row has its halves of 64 bytes swapped, so that eight lanes, which read two half rows at once, meet
in no bank.

A lane's 16 bytes are eight features of one row, and four lanes have 32. Which of them the instruction takes for which k does
not matter as long as tokens and weights agree: its first 16 are the lower halves of these 16 bytes, its next 16 the upper
halves. So one load of a lane serves two instructions.
"""

from std.utils.static_tuple import StaticTuple

from .pointers import BF16, SharedBytes, SharedFloats
from .ptx import copy16, multiply16

comptime LANES = 32
"""Threads of a warp, for the host too, which counts the threads of a launch; the library's `WARP_SIZE` is the GPU's only
on the GPU."""
comptime COPY = 16
"""Bytes that a thread copies at once: eight features."""


struct MmaTile[DOWN: Int, WIDTH: Int, CHUNKS: Int]:
    """What a warp multiplies: `DOWN` tokens by `WIDTH` weight rows, 32 features at a time.

    Parameters:
        DOWN: Tokens of a warp, a multiple of 16.
        WIDTH: Weight rows of a warp, a multiple of 8.
        CHUNKS: Pieces of 16 bytes in a row of a slot, a multiple of 8.
    """

    comptime HIGH = Self.DOWN // 16
    """Instructions one below the other."""
    comptime WIDE = Self.WIDTH // 8
    """Instructions side by side."""
    comptime EIGHT = 8 * Self.CHUNKS * COPY
    """Bytes from a row to the eighth after it, which is as even or odd."""
    comptime SUMS = Self.HIGH * Self.WIDE
    """Tiles of 16 tokens and 8 rows of a warp: a lane has four sums of each."""
    comptime Sums = StaticTuple[SIMD[DType.float32, 4], Self.SUMS]

    @staticmethod
    def check():
        """What must hold, when this is compiled."""
        comptime assert Self.DOWN % 16 == 0 and Self.WIDTH % 8 == 0
        # What a quarter of a warp loads, two half rows, must be all of the banks.
        comptime assert Self.CHUNKS % 8 == 0

    @staticmethod
    @always_inline
    def place(row: Int, chunk: Int) -> Int:
        """The byte of a slot at which this piece of this row stands."""
        return (row * Self.CHUNKS + (chunk ^ (row % 2 * 4))) * COPY

    @staticmethod
    @always_inline
    def no_sums() -> Self.Sums:
        """A lane's sums, before anything is added."""
        var sums = Self.Sums()
        comptime for i in range(Self.SUMS):
            sums[i] = SIMD[DType.float32, 4](0)
        return sums

    @staticmethod
    @always_inline
    def multiply[
        AT_ONCE: Int
    ](tokens: SharedBytes, weights: SharedBytes, mut sums: Self.Sums):
        """Add to a warp's sums what 32 features make.

        Parameters:
            AT_ONCE: Tiles of weight rows that are read before any is multiplied, a divisor of `WIDE`.

        Args:
            tokens: This lane's piece of its first token.
            weights: This lane's piece of its first weight row.
            sums: What is added to.
        """
        var a = StaticTuple[SIMD[DType.uint32, 4], 2 * Self.HIGH]()
        comptime for i in range(2 * Self.HIGH):
            a[i] = _piece(tokens.unsafe_offset(i * Self.EIGHT))
        comptime for first in range(0, Self.WIDE, AT_ONCE):
            var b = StaticTuple[SIMD[DType.uint32, 4], AT_ONCE]()
            comptime for n in range(AT_ONCE):
                b[n] = _piece(weights.unsafe_offset((first + n) * Self.EIGHT))
            comptime for half in range(2):
                comptime for m in range(Self.HIGH):
                    comptime for n in range(AT_ONCE):
                        comptime AT = m * Self.WIDE + first + n
                        sums[AT] = multiply16(
                            a[2 * m][2 * half],
                            a[2 * m + 1][2 * half],
                            a[2 * m][2 * half + 1],
                            a[2 * m + 1][2 * half + 1],
                            b[n][2 * half],
                            b[n][2 * half + 1],
                            sums[AT],
                        )

    @staticmethod
    @always_inline
    def store[
        STRIDE: Int
    ](sums: Self.Sums, target: SharedFloats,):
        """Leave a warp's sums in shared memory.

        Parameters:
            STRIDE: Values from a token to the next; with 8 more than a multiple of 32, what a warp stores at once falls into
                different banks.

        Args:
            sums: The sums.
            target: Where this lane's first goes: token `lane` / 4 of the warp, row 2 (`lane` % 4).
        """
        comptime for m in range(Self.HIGH):
            comptime for n in range(Self.WIDE):
                comptime for half in range(2):
                    target.unsafe_offset(
                        (m * 16 + half * 8) * STRIDE + n * 8
                    ).unsafe_store[alignment=8](
                        SIMD[DType.float32, 2](
                            sums[m * Self.WIDE + n][2 * half],
                            sums[m * Self.WIDE + n][2 * half + 1],
                        )
                    )


struct WarpTiles[TOKENS: Int, ROWS: Int, DOWN: Int, WIDTH: Int, WARPS: Int]:
    """How the warps of a block divide a slot of `TOKENS` tokens and `ROWS` weight rows: some take other tokens or rows, and
    those with the same take other features of it.

    Parameters:
        TOKENS: Tokens in a slot.
        ROWS: Weight rows in a slot.
        DOWN: Tokens of a warp.
        WIDTH: Weight rows of a warp.
        WARPS: Warps that multiply.
    """

    comptime ACROSS = Self.ROWS // Self.WIDTH
    """Warps side by side."""
    comptime PARTS = Self.WARPS // (Self.TOKENS // Self.DOWN * Self.ACROSS)
    """Warps that have the same tokens and rows, and other features."""

    @staticmethod
    def check():
        """What must hold, when this is compiled."""
        comptime assert (
            Self.TOKENS % Self.DOWN == 0 and Self.ROWS % Self.WIDTH == 0
        )
        comptime assert (
            Self.WARPS % (Self.TOKENS // Self.DOWN * Self.ACROSS) == 0
        )

    @staticmethod
    @always_inline
    def part(warp: Int) -> Int:
        """Which features of a step are this warp's."""
        return warp % Self.PARTS

    @staticmethod
    @always_inline
    def first_token(warp: Int) -> Int:
        """The first of a warp's tokens."""
        return warp // Self.PARTS // Self.ACROSS * Self.DOWN

    @staticmethod
    @always_inline
    def first_row(warp: Int) -> Int:
        """The first of a warp's weight rows."""
        return warp // Self.PARTS % Self.ACROSS * Self.WIDTH

    @staticmethod
    @always_inline
    def sum_place[STRIDE: Int](part: Int, token: Int, row: Int) -> Int:
        """Which of the sums that all warps leave is that of this part of the features, `STRIDE` from a token to the next."""
        return (part * Self.TOKENS + token) * STRIDE + row


@always_inline
def _piece(at: SharedBytes) -> SIMD[DType.uint32, 4]:
    return at.unsafe_bitcast[UInt32]().unsafe_load[width=4, alignment=16]()


@always_inline
def copy_or_zero(target: UInt32, matrix: BF16, at: Int, in_bounds: Bool):
    """Copy eight features to shared memory, those from value `at` of a matrix on, or zeros out of its bounds."""
    copy16(
        target,
        matrix.unsafe_offset(at if in_bounds else 0),
        UInt32(COPY) if in_bounds else 0,
    )
