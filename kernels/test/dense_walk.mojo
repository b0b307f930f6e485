"""One slot of the dense matmuls for few tokens, walked on the CPU as `dense/tile.mojo`'s index arithmetic has it: the copies of
all threads, the tensor core's fragments as the instruction's definition has them, and the banks of shared memory.

Functions take the parameters of the `DenseTile` that they walk.
"""

from harness import hash32
from mxfp4.dense.tile import DenseTile, THREADS, WARPS
from mxfp4.mma_tile import COPY, LANES

comptime NOTHING = 1 << 40
"""What stands nowhere: it spoils every sum that it gets into."""
comptime WORDS = COPY // 2
"""Values that are copied at once."""


def value(seed: UInt32, row: Int, feature: Int, features: Int) -> Int:
    """A whole number from -4 to 3: sums of products are exact."""
    return Int(hash32(seed, UInt32(row * features + feature)) % 8) - 4


def expected(token: Int, row: Int, features: Int) -> Int:
    """The result for this token and this weight row."""
    var sum = 0
    for i in range(features):
        sum += value(1, token, i, features) * value(2, row, i, features)
    return sum


def copy_slot[
    TOKENS: Int, ROWS: Int, DOWN: Int, WIDTH: Int
](
    mut misplaced: Int,
    tokens: Int,
    rows: Int,
    features: Int,
    first_token: Int,
    first_row: Int,
    step: Int,
) -> List[Int]:
    """The values of a slot, after all threads have copied what is theirs of this step."""
    comptime Tile = DenseTile[TOKENS, ROWS, DOWN, WIDTH]
    var slot = List(length=Tile.SLOT_BYTES // 2, fill=NOTHING)
    for thread in range(THREADS):
        var of_tokens = Tile.copies_tokens(thread)
        var first = first_token if of_tokens else first_row
        var count = tokens if of_tokens else rows
        var seed = UInt32(1 if of_tokens else 2)
        var one_pass = Tile.TOKEN_PASS if of_tokens else Tile.ROW_PASS
        var passes = (TOKENS if of_tokens else ROWS) // one_pass
        var feature = step * Tile.STEP + Tile.copied_chunk(thread) * WORDS
        for copy in range(passes):
            # As the kernel has it: the place of a thread's first row, and so many whole rows further.
            var below = copy * one_pass
            var at = (
                Tile.copied_place(thread) + below * Tile.CHUNKS * COPY
            ) // 2
            var row = first + Tile.copied_row(thread) + below
            for i in range(WORDS):
                var number = 0
                if row < count and feature < features:
                    number = value(seed, row, feature + i, features)
                misplaced += Int(slot[at + i] != NOTHING)
                slot[at + i] = number
    for number in slot:
        misplaced += Int(number == NOTHING)
    return slot^


def product[
    TOKENS: Int, ROWS: Int, DOWN: Int, WIDTH: Int
](slot: List[Int], warp: Int, round: Int, half: Int, m: Int, n: Int) -> List[
    Int
]:
    """What one instruction of a warp adds to its 16 tokens by 8 rows, token by token."""
    comptime Tile = DenseTile[TOKENS, ROWS, DOWN, WIDTH]
    comptime EIGHT = 8 * Tile.CHUNKS * COPY // 2
    var a = List(length=16 * 16, fill=NOTHING)
    var b = List(length=16 * 8, fill=NOTHING)
    for lane in range(LANES):
        var group = lane // 4
        var q = lane % 4 * 2
        var piece = Tile.piece(warp, round, lane)
        var upper = (
            Tile.Mma.place(Tile.Warps.first_token(warp) + group, piece) // 2
            + 2 * m * EIGHT
        )
        var lower = upper + EIGHT
        var column = (
            Tile.Mma.place(TOKENS + Tile.Warps.first_row(warp) + group, piece)
            // 2
            + n * EIGHT
        )
        for i in range(2):
            # Word 2 half of the 16 bytes, then word 2 half + 1: two values each.
            var near = half * 4 + i
            var far = near + 2
            var k = q + i
            a[group * 16 + k] = slot[upper + near]
            a[(group + 8) * 16 + k] = slot[lower + near]
            a[group * 16 + k + 8] = slot[upper + far]
            a[(group + 8) * 16 + k + 8] = slot[lower + far]
            b[k * 8 + group] = slot[column + near]
            b[(k + 8) * 8 + group] = slot[column + far]
    var sums = List(length=16 * 8, fill=0)
    for row in range(16):
        for column in range(8):
            for k in range(16):
                sums[row * 8 + column] += a[row * 16 + k] * b[k * 8 + column]
    return sums^


def bank_conflicts[TOKENS: Int, ROWS: Int, DOWN: Int, WIDTH: Int]() -> Int:
    """How many loads of a slot meet in a bank. Shared memory serves eight lanes of 16 bytes at once."""
    comptime Tile = DenseTile[TOKENS, ROWS, DOWN, WIDTH]
    var conflicts = 0
    for warp in range(WARPS):
        for round in range(Tile.ROUNDS):
            for quarter in range(4):
                for matrix in range(2):
                    var seen = UInt32(0)
                    for lane in range(quarter * 8, quarter * 8 + 8):
                        var row = lane // 4 + (
                            TOKENS + Tile.Warps.first_row(warp) if matrix
                            == 1 else Tile.Warps.first_token(warp)
                        )
                        var at = Tile.Mma.place(
                            row, Tile.piece(warp, round, lane)
                        )
                        seen |= UInt32(1) << UInt32(at // 16 % 8)
                    conflicts += Int(seen != 255)
    return conflicts
