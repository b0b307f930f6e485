"""The dense matmul for few tokens, as its index arithmetic has it, walked on the CPU for all blocks of a cluster: every piece
of tokens and weights is copied once to where no other is, every lane's piece is found where it was copied, the eight
lanes that shared memory serves at once meet in no bank, the tensor core's fragments make the sums that they stand for, and
every result is made once, by one thread, of the sums of all blocks.

How the GPU orders copies, barriers and reads is not seen here; `test_gpu_dense` runs the kernel.
"""

from harness import Report, hash32
from mxfp4.dense_few import (
    BLOCKS_EACH,
    COPY,
    FewShape,
    LANES,
    MOST_BLOCKS,
    MOST_PARTS,
    QUADS,
    ROWS,
    STRIDE,
    THREADS,
    WARPS,
    few_parts,
    few_takes,
    few_tile,
    first_step,
)

comptime NOTHING = 1 << 40
"""What stands nowhere: it spoils every sum that it gets into."""


def value(seed: UInt32, row: Int, feature: Int, features: Int) -> Int:
    """A whole number from -4 to 3: sums of products are exact."""
    return Int(hash32(seed, UInt32(row * features + feature)) % 8) - 4


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
    comptime WORDS = COPY // 2
    comptime EIGHT = 8 * Shape.CHUNKS * COPY // 2
    var first_token = batch * TOKENS
    var first_row = tile * ROWS
    var steps = (features + Shape.STEP - 1) // Shape.STEP
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
            # ---- Copies.
            var slot = List(length=Shape.SLOT_BYTES // 2, fill=NOTHING)
            for thread in range(THREADS):
                var chunk = thread % Shape.CHUNKS
                var row = thread // Shape.CHUNKS
                var feature = (first + step) * Shape.STEP + chunk * WORDS
                for copy in range((TOKENS + ROWS) // Shape.PASS):
                    # As the kernel has it: the place of a thread's first row, and so many whole rows further.
                    var below = copy * Shape.PASS
                    var at = (
                        Shape.place(row, chunk) + below * Shape.CHUNKS * COPY
                    ) // 2
                    for i in range(WORDS):
                        var number = 0
                        if below < TOKENS:
                            var token = first_token + row + below
                            if token < tokens and feature < features:
                                number = value(1, token, feature + i, features)
                        else:
                            var weight = first_row + row + below - TOKENS
                            if weight < rows and feature < features:
                                number = value(2, weight, feature + i, features)
                        misplaced += Int(slot[at + i] != NOTHING)
                        slot[at + i] = number

            # ---- Fragments, as the instruction's definition has them.
            for warp in range(WARPS):
                for turn in range(Shape.TURNS):
                    for m in range(Shape.DOWN // 16):
                        for n in range(Shape.WIDTH // 8):
                            for half in range(2):
                                var a = List(length=16 * 16, fill=NOTHING)
                                var b = List(length=16 * 8, fill=NOTHING)
                                for lane in range(LANES):
                                    var group = lane // 4
                                    var q = lane % 4 * 2
                                    var piece = Shape.piece(warp, turn, lane)
                                    var upper = (
                                        Shape.place(
                                            Shape.first_token(warp) + group,
                                            piece,
                                        )
                                        // 2
                                        + 2 * m * EIGHT
                                    )
                                    var lower = upper + EIGHT
                                    var column = (
                                        Shape.place(
                                            TOKENS
                                            + Shape.first_row(warp)
                                            + group,
                                            piece,
                                        )
                                        // 2
                                        + n * EIGHT
                                    )
                                    for i in range(2):
                                        # Word 2 half of the 16 bytes, then word 2 half + 1: two values each.
                                        var near = half * 4 + i
                                        var far = near + 2
                                        var k = q + i
                                        a[group * 16 + k] = slot[upper + near]
                                        a[(group + 8) * 16 + k] = slot[
                                            lower + near
                                        ]
                                        a[group * 16 + k + 8] = slot[
                                            upper + far
                                        ]
                                        a[(group + 8) * 16 + k + 8] = slot[
                                            lower + far
                                        ]
                                        b[k * 8 + group] = slot[column + near]
                                        b[(k + 8) * 8 + group] = slot[
                                            column + far
                                        ]
                                for lane in range(LANES):
                                    for i in range(4):
                                        var row = lane // 4 + i // 2 * 8
                                        var column = lane % 4 * 2 + i % 2
                                        var sum = 0
                                        for k in range(16):
                                            sum += (
                                                a[row * 16 + k]
                                                * b[k * 8 + column]
                                            )
                                        var at = Shape.sum_place(
                                            Shape.part(warp),
                                            Shape.first_token(warp)
                                            + m * 16
                                            + row,
                                            Shape.first_row(warp)
                                            + n * 8
                                            + column,
                                        )
                                        if (
                                            step == 0
                                            and turn == 0
                                            and half == 0
                                        ):
                                            # Nobody else's.
                                            misplaced += Int(begun[at])
                                            begun[at] = True
                                            mine[at] = 0
                                        mine[at] += sum
        sums.append(mine^)
    misplaced += Int(next_step != steps)

    # ---- Banks. Shared memory serves eight lanes of 16 bytes at once, and sixteen lanes of 8.
    for warp in range(WARPS):
        for turn in range(Shape.TURNS):
            for quarter in range(4):
                for matrix in range(2):
                    var seen = UInt32(0)
                    for lane in range(quarter * 8, quarter * 8 + 8):
                        var row = lane // 4 + (
                            TOKENS + Shape.first_row(warp) if matrix
                            == 1 else Shape.first_token(warp)
                        )
                        var at = Shape.place(row, Shape.piece(warp, turn, lane))
                        seen |= UInt32(1) << UInt32(at // 16 % 8)
                    conflicts += Int(seen != 255)
        for half in range(2):
            var seen = UInt32(0)
            for lane in range(half * 16, half * 16 + 16):
                var at = Shape.sum_place(
                    Shape.part(warp),
                    Shape.first_token(warp) + lane // 4,
                    Shape.first_row(warp) + lane % 4 * 2,
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
            var expected = NOTHING
            if first_token + token < tokens and first_row + row < rows:
                expected = 0
                for i in range(features):
                    expected += value(
                        1, first_token + token, i, features
                    ) * value(2, first_row + row, i, features)
            wrong += Int(result[token * ROWS + row] != expected)
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
    var wrong = Int(Shape.SLOT_BYTES * Shape.STAGES > Shape.SHARED_BYTES)
    wrong += Int(Shape.PARTS * TOKENS * STRIDE * 4 > Shape.SHARED_BYTES)
    wrong += Int(BLOCKS_EACH * (Shape.SHARED_BYTES + 1024) > 228 * 1024)
    # The swapped halves stay inside a row, wherever a slot begins.
    wrong += Int(Shape.SLOT_BYTES % 128 != 0)
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
