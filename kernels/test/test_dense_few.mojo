"""The dense matmul for few tokens, as its index arithmetic has it, walked on the CPU for all blocks of a cluster: every piece
of tokens and weights is copied once to where no other is, every lane's piece is found where it was copied, the eight
lanes that shared memory serves at once meet in no bank, the tensor core's fragments make the sums that they stand for, and
every result is made once, by one thread, of the sums of all blocks.

How the GPU orders copies, barriers and reads is not seen here; `test_gpu_dense` runs the kernel.
"""

from dense_walk import NOTHING, bank_conflicts, copy_slot, expected, product
from harness import Report
from mxfp4.dense.few import (
    BLOCKS_EACH,
    FewShape,
    MOST_BLOCKS,
    MOST_PARTS,
    QUADS,
    ROWS,
    STRIDE,
    few_parts,
    few_takes,
    first_step,
)
from mxfp4.dense.tile import THREADS, WARPS, few_tile
from mxfp4.mma_tile import LANES


def check_cluster[
    TOKENS: Int
](
    mut report: Report,
    tokens: Int,
    rows: Int,
    features: Int,
    blocks: Int,
    batch: Int,
    tile: Int,
):
    """One cluster of this many blocks, as its threads would do it: of which tokens and which rows."""
    comptime Shape = FewShape[TOKENS]
    comptime Tile = Shape.Tile
    var first_token = batch * TOKENS
    var first_row = tile * ROWS
    var steps = (features + Tile.STEP - 1) // Tile.STEP
    var misplaced = 0
    var conflicts = 0
    var sums = List[List[Int]]()
    var next_step = 0
    for block in range(blocks):
        # What no step adds to is found at the end: the sums of a block are those of all its warps.
        var mine = List(length=Shape.SHARED_BYTES // 4, fill=NOTHING)
        var begun = List(length=len(mine), fill=False)
        var first = first_step(block, blocks, steps)
        var count = first_step(block + 1, blocks, steps) - first
        misplaced += Int(first != next_step) + Int(count < 1)
        next_step = first + count
        for step in range(count):
            var slot = copy_slot[Tile.TOKENS, Tile.ROWS, Tile.DOWN, Tile.WIDTH](
                misplaced,
                tokens,
                rows,
                features,
                first_token,
                first_row,
                first + step,
            )
            for warp in range(WARPS):
                for round in range(Tile.ROUNDS):
                    for m in range(Tile.DOWN // 16):
                        for n in range(Tile.WIDTH // 8):
                            for half in range(2):
                                var found = product[
                                    Tile.TOKENS,
                                    Tile.ROWS,
                                    Tile.DOWN,
                                    Tile.WIDTH,
                                ](slot, warp, round, half, m, n)
                                for lane in range(LANES):
                                    for i in range(4):
                                        var row = lane // 4 + i // 2 * 8
                                        var column = lane % 4 * 2 + i % 2
                                        var at = Shape.sum_place(
                                            Tile.Warps.part(warp),
                                            Tile.Warps.first_token(warp)
                                            + m * 16
                                            + row,
                                            Tile.Warps.first_row(warp)
                                            + n * 8
                                            + column,
                                        )
                                        if (
                                            step == 0
                                            and round == 0
                                            and half == 0
                                        ):
                                            # Nobody else's.
                                            misplaced += Int(begun[at])
                                            begun[at] = True
                                            mine[at] = 0
                                        mine[at] += found[row * 8 + column]
        sums.append(mine^)
    misplaced += Int(next_step != steps)

    # ---- Banks. Shared memory takes sixteen lanes of 8 bytes at once.
    conflicts += bank_conflicts[Tile.TOKENS, Tile.ROWS, Tile.DOWN, Tile.WIDTH]()
    for warp in range(WARPS):
        for half in range(2):
            var seen = UInt32(0)
            for lane in range(half * 16, half * 16 + 16):
                var at = Shape.sum_place(
                    Tile.Warps.part(warp),
                    Tile.Warps.first_token(warp) + lane // 4,
                    Tile.Warps.first_row(warp) + lane % 4 * 2,
                )
                misplaced += at % 2
                seen |= UInt32(3) << UInt32(at % 32)
            conflicts += Int(seen != UInt32.MAX)

    # ---- Results, as the threads of all blocks divide them.
    var result = List(length=TOKENS * ROWS, fill=NOTHING)
    var there = min(TOKENS, tokens - first_token)
    for block in range(blocks):
        for thread in range(THREADS):
            for unit in range(
                block * THREADS + thread, there * QUADS, blocks * THREADS
            ):
                var token = unit // QUADS
                var offset = unit % QUADS * 4
                if first_row + offset >= rows:
                    continue
                for i in range(4):
                    if first_row + offset + i >= rows:
                        continue
                    var sum = 0
                    for other in range(blocks):
                        for part in range(Shape.PARTS):
                            var at = Shape.sum_place(part, token, offset)
                            misplaced += at % 4
                            sum += sums[other][at + i]
                    var at = token * ROWS + offset + i
                    misplaced += Int(result[at] != NOTHING)
                    result[at] = sum
    var wrong = 0
    for token in range(TOKENS):
        for row in range(ROWS):
            var want = NOTHING
            if first_token + token < tokens and first_row + row < rows:
                want = expected(first_token + token, first_row + row, features)
            wrong += Int(result[token * ROWS + row] != want)
    report.check(
        String(
            "dense few: ",
            tokens,
            " tokens in tiles of ",
            TOKENS,
            ", ",
            rows,
            " rows, ",
            features,
            " features, ",
            blocks,
            " blocks",
        ),
        wrong + misplaced + conflicts,
        String(
            "wrong (",
            wrong,
            " results, ",
            misplaced,
            " places, ",
            conflicts,
            " bank conflicts)",
        ),
    )


def check_shape[TOKENS: Int](mut report: Report):
    """A shape fits its block, and two blocks fit on a multiprocessor."""
    comptime Shape = FewShape[TOKENS]
    comptime SLOT_BYTES = Shape.Tile.SLOT_BYTES
    var wrong = Int(SLOT_BYTES * Shape.STAGES > Shape.SHARED_BYTES)
    wrong += Int(Shape.PARTS * TOKENS * STRIDE * 4 > Shape.SHARED_BYTES)
    wrong += Int(BLOCKS_EACH * (Shape.SHARED_BYTES + 1024) > 228 * 1024)
    # The swapped halves stay inside a row, wherever a slot begins.
    wrong += Int(SLOT_BYTES % 128 != 0)
    report.check(
        String("dense few: tiles of ", TOKENS, " fit"), wrong, "limits broken"
    )


def check_choices(mut report: Report):
    """Tiles hold their tokens, and blocks are as many as fit."""
    var wrong = 0
    for tokens in range(1, 400):
        var tile = few_tile(tokens)
        wrong += Int(tile < min(tokens, 128))
        wrong += Int(tile != 16 and tile >= 2 * tokens)
    for tiles in range(1, 300):
        for steps in range(1, 70):
            var parts = few_parts(tiles, steps)
            wrong += Int(parts > 1 and parts * tiles > MOST_BLOCKS)
            wrong += Int(parts > steps or parts > MOST_PARTS)
            wrong += Int(parts & (parts - 1) != 0)
            # No further division would have been possible.
            wrong += Int(
                2 * parts <= min(steps, MOST_PARTS)
                and 2 * parts * tiles <= MOST_BLOCKS
            )
    # GPT-OSS's projections, on one device, two and four.
    wrong += Int(few_parts(54, 23) != 4) + Int(few_parts(30, 32) != 4)
    wrong += Int(few_parts(27, 23) != 8) + Int(few_parts(14, 23) != 8)
    report.check("dense few: divisions", wrong, "wrong numbers")


def check_limits(mut report: Report):
    """What cannot be copied in pieces of 16 bytes or counted in 32 bits is not taken."""
    var memory = List(length=64, fill=BFloat16(0))
    var half = memory.unsafe_ptr().as_unsafe_any_origin()
    # A pointer that is aligned to 16 bytes.
    var even = half.unsafe_offset((16 - Int(half) % 16) % 16 // 2)
    var odd = even.unsafe_offset(4)
    var odder = even.unsafe_offset(1)
    var wrong = Int(
        not few_takes(
            odd, even, even, odd, tokens=1, rows=201088, features=2880
        )
    )
    wrong += Int(few_takes(even, odd, even, even, tokens=1, rows=8, features=8))
    wrong += Int(few_takes(even, even, odd, even, tokens=1, rows=8, features=8))
    wrong += Int(
        few_takes(odder, even, even, even, tokens=1, rows=8, features=8)
    )
    wrong += Int(
        few_takes(even, even, even, odder, tokens=1, rows=8, features=8)
    )
    for features in [0, 4, 12, 2884]:
        wrong += Int(
            few_takes(
                even, even, even, even, tokens=1, rows=8, features=features
            )
        )
    wrong += Int(
        few_takes(even, even, even, even, tokens=1, rows=1 << 20, features=4096)
    )
    _ = memory^
    report.check("dense few: limits", wrong, "wrong answers")


def main() raises:
    var report = Report()
    comptime for i in range(4):
        check_shape[16 << i](report)
    check_cluster[16](report, 16, 96, 512, 4, 0, 0)
    check_cluster[16](report, 1, 8, 8, 1, 0, 0)
    check_cluster[16](report, 7, 100, 264, 2, 0, 1)
    check_cluster[32](report, 32, 192, 320, 4, 0, 1)
    check_cluster[32](report, 17, 97, 72, 2, 0, 1)
    check_cluster[64](report, 64, 96, 520, 8, 0, 0)
    check_cluster[64](report, 33, 94, 40, 1, 0, 0)
    check_cluster[128](report, 128, 96, 200, 4, 0, 0)
    check_cluster[128](report, 300, 24, 72, 2, 2, 0)
    check_choices(report)
    check_limits(report)
    report.finish()
