"""The head's dense matmul for few tokens, as its index arithmetic has it, walked on the CPU for all blocks of a launch: each block
multiplies what it loaded, in that order, no slot is filled again before it has been read, and every result is made once, of
all its products.

How the GPU orders copies, barriers and reads is not seen here; `test_gpu_dense` runs the kernel.
"""

from dense_walk import NOTHING, bank_conflicts, copy_slot, expected, product
from harness import Report
from mxfp4.dense.head import (
    HEAD_ROWS,
    HeadShape,
    HeadUnit,
    head_takes,
    next_slot,
)
from mxfp4.dense.tile import WARPS
from mxfp4.mma_tile import LANES


def check_blocks[
    TOKENS: Int
](mut report: Report, tokens: Int, rows: Int, features: Int, blocks: Int):
    """All blocks of a launch with so many, as their threads would do it."""
    comptime Shape = HeadShape[TOKENS]
    comptime Tile = Shape.Tile
    comptime STAGES = Shape.STAGES
    var tiles = (rows + HEAD_ROWS - 1) // HEAD_ROWS
    var batches = (tokens + TOKENS - 1) // TOKENS
    var steps = (features + Tile.STEP - 1) // Tile.STEP
    var results = List(length=tokens * rows, fill=NOTHING)
    var misplaced = 0
    for block in range(blocks):
        var now = HeadUnit(block, blocks, tiles, batches, steps)
        var next = now.copy()
        var ring = List[List[Int]]()
        # Which load a slot holds, and how many groups of copies there were.
        var held = List(length=STAGES, fill=-1)
        var groups = 0
        var target = UInt32(0)
        for _ in range(STAGES):
            ring.append(List[Int]())

        @__parameter
        def load():
            if next.is_there():
                ring[Int(target)] = copy_slot[
                    Tile.TOKENS, Tile.ROWS, Tile.DOWN, Tile.WIDTH
                ](
                    misplaced,
                    tokens,
                    rows,
                    features,
                    next.batch() * TOKENS,
                    next.tile() * HEAD_ROWS,
                    next.step,
                )
                _ = next.advance()
            held[Int(target)] = groups
            target = next_slot[TOKENS](target)
            groups += 1

        for _ in range(STAGES - 1):
            load()
        var slot = UInt32(0)
        var multiplied = 0
        while now.is_there():
            var tile = now.tile()
            var batch = now.batch()
            # A lane's four sums of each 16 by 8, warp by warp.
            var sums = List(
                length=WARPS * Tile.Mma.SUMS * LANES * 4,
                fill=0,
            )
            while True:
                # All but the last `STAGES - 2` groups have come.
                misplaced += Int(groups - (STAGES - 2) <= multiplied)
                misplaced += Int(held[Int(slot)] != multiplied)
                # The slot that is filled is the one that was read before, or none was.
                misplaced += Int(held[Int(target)] not in [multiplied - 1, -1])
                load()
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
                                    ](
                                        ring[Int(slot)],
                                        warp,
                                        round,
                                        half,
                                        m,
                                        n,
                                    )
                                    var here = (
                                        warp * Tile.Mma.SUMS
                                        + m * (Tile.WIDTH // 8)
                                        + n
                                    ) * LANES
                                    for lane in range(LANES):
                                        for i in range(4):
                                            sums[
                                                (here + lane) * 4 + i
                                            ] += found[
                                                (lane // 4 + i // 2 * 8) * 8
                                                + lane % 4 * 2
                                                + i % 2
                                            ]
                slot = next_slot[TOKENS](slot)
                multiplied += 1
                if now.advance():
                    break
            for warp in range(WARPS):
                for lane in range(LANES):
                    var token = (
                        batch * TOKENS
                        + Tile.Warps.first_token(warp)
                        + lane // 4
                    )
                    var row = (
                        tile * HEAD_ROWS
                        + Tile.Warps.first_row(warp)
                        + lane % 4 * 2
                    )
                    for m in range(Tile.DOWN // 16):
                        for half in range(2):
                            var below = token + m * 16 + half * 8
                            if below >= tokens:
                                continue
                            for n in range(Tile.WIDTH // 8):
                                for i in range(2):
                                    var column = row + n * 8 + i
                                    if column >= rows:
                                        continue
                                    var at = below * rows + column
                                    misplaced += Int(results[at] != NOTHING)
                                    results[at] = sums[
                                        (
                                            (
                                                warp * Tile.Mma.SUMS
                                                + m * (Tile.WIDTH // 8)
                                                + n
                                            )
                                            * LANES
                                            + lane
                                        )
                                        * 4
                                        + 2 * half
                                        + i
                                    ]
        misplaced += Int(next.is_there())
    var wrong = 0
    for token in range(tokens):
        for row in range(rows):
            wrong += Int(
                results[token * rows + row] != expected(token, row, features)
            )
    report.check(
        String(
            "dense head: ",
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
        wrong + misplaced,
        String("wrong (", wrong, " results, ", misplaced, " places)"),
    )


def check_shape[TOKENS: Int](mut report: Report):
    """A shape fits its block, and reads of it meet in no bank."""
    comptime Shape = HeadShape[TOKENS]
    comptime Tile = Shape.Tile
    var wrong = Int(Shape.SHARED_BYTES > 227 * 1024)
    wrong += Int(Shape.STAGES < 3) + Int(Tile.PARTS != 1)
    # The swapped halves stay inside a row, wherever a slot begins.
    wrong += Int(Tile.SLOT_BYTES % 128 != 0)
    wrong += bank_conflicts[Tile.TOKENS, Tile.ROWS, Tile.DOWN, Tile.WIDTH]()
    report.check(
        String("dense head: tiles of ", TOKENS, " fit"), wrong, "limits broken"
    )


def check_units(mut report: Report):
    """Every step of every unit is one block's, also where blocks are more than units."""
    var wrong = 0
    for tiles in [1, 2, 5, 131, 132, 133, 1048]:
        for batches in [1, 3]:
            for blocks in [1, 7, 132]:
                for steps in [1, 3]:
                    var taken = List(length=tiles * batches * steps, fill=0)
                    for block in range(blocks):
                        var unit = HeadUnit(
                            block, blocks, tiles, batches, steps
                        )
                        while unit.is_there():
                            taken[
                                (unit.tile() * batches + unit.batch()) * steps
                                + unit.step
                            ] += 1
                            var before = unit.unit
                            var other = unit.advance()
                            wrong += Int(other != (unit.unit != before))
                    for times in taken:
                        wrong += Int(times != 1)
    report.check("dense head: units", wrong, "wrong numbers")


def check_limits(mut report: Report):
    """What cannot be copied in pieces of 16 bytes or counted in 32 bits is not taken."""
    var memory = List(length=64, fill=BFloat16(0))
    var half = memory.unsafe_ptr().as_unsafe_any_origin()
    # A pointer that is aligned to 16 bytes.
    var even = half.unsafe_offset((16 - Int(half) % 16) % 16 // 2)
    var odd = even.unsafe_offset(4)
    var floats = even.unsafe_bitcast[Float32]()
    var odd_floats = odd.unsafe_bitcast[Float32]()
    var odder = even.unsafe_offset(2).unsafe_bitcast[Float32]()
    var wrong = Int(
        not head_takes(
            odd_floats, even, even, tokens=128, rows=201088, features=2880
        )
    )
    wrong += Int(head_takes(floats, odd, even, tokens=1, rows=8, features=8))
    wrong += Int(head_takes(floats, even, odd, tokens=1, rows=8, features=8))
    wrong += Int(head_takes(odder, even, even, tokens=1, rows=8, features=8))
    for features in [0, 4, 12, 2884]:
        wrong += Int(
            head_takes(floats, even, even, tokens=1, rows=8, features=features)
        )
    wrong += Int(
        head_takes(floats, even, even, tokens=1, rows=1 << 20, features=4096)
    )
    _ = memory^
    report.check("dense head: limits", wrong, "wrong answers")


def main() raises:
    var report = Report()
    comptime for i in range(4):
        check_shape[16 << i](report)
    # One tile for a block or none; two and one; an odd number of rows; more steps than slots.
    check_blocks[16](report, 16, 192, 1032, 2)
    check_blocks[16](report, 3, 401, 72, 2)
    check_blocks[32](report, 20, 200, 616, 1)
    check_blocks[64](report, 64, 97, 136, 1)
    check_blocks[64](report, 37, 390, 72, 2)
    check_blocks[128](report, 128, 210, 72, 1)
    check_blocks[128](report, 140, 200, 40, 3)
    check_units(report)
    check_limits(report)
    report.finish()
