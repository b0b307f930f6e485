"""The router for many tokens, as its index arithmetic has it, walked on the CPU: every piece of both matrices is copied
once to where no other is, every lane's piece is found where it was copied, the eight lanes that shared memory serves at
once meet in no bank, and the tensor core's fragments make the sums of tokens and experts that they stand for.

How the GPU orders copies, barriers and reads is not seen here; `test_gpu_routing` runs the kernel.
"""

from harness import Report, hash32
from mxfp4.mma_tile import COPY
from mxfp4.moe.router_many import RouteShape, route_columns
from mxfp4.moe.top_experts import order_key, ordered_number


def value(seed: UInt32, row: Int, feature: Int, features: Int) -> Int:
    """A whole number from -4 to 3: sums of products are exact."""
    return Int(hash32(seed, UInt32(row * features + feature)) % 8) - 4


def check_block[
    COLUMNS: Int
](mut report: Report, tokens: Int, experts: Int, features: Int):
    """One block with this many tokens, as its threads would do it."""
    comptime Shape = RouteShape[COLUMNS]
    comptime ROWS = Shape.TOKENS + COLUMNS
    comptime WORDS = COPY // 2
    var sums = List(
        length=Shape.PARTS * Shape.TOKENS * Shape.STRIDE, fill=Int(1 << 40)
    )
    var first_sums = List(length=len(sums), fill=0)
    var misplaced = 0
    var conflicts = 0
    for step in range((features + Shape.STEP - 1) // Shape.STEP):
        # ---- Copies. What stands nowhere stays a number that spoils every sum.
        var slot = List(length=Shape.SLOT_BYTES // 2, fill=1 << 40)
        for thread in range(Shape.THREADS):
            for copy in range(ROWS // Shape.PASS):
                # As the kernel has it: the place of a thread's first row, and so many whole rows further.
                var chunk = thread % Shape.CHUNKS
                var row = thread // Shape.CHUNKS + copy * Shape.PASS
                var at = (
                    Shape.Tile.place(thread // Shape.CHUNKS, chunk)
                    + copy * Shape.PASS * Shape.CHUNKS * COPY
                )
                for i in range(WORDS):
                    var feature = step * Shape.STEP + chunk * WORDS + i
                    var number = 0
                    if feature < features:
                        if row < Shape.TOKENS:
                            if row < tokens:
                                number = value(1, row, feature, features)
                        elif row - Shape.TOKENS < experts:
                            number = value(
                                2, row - Shape.TOKENS, feature, features
                            )
                    misplaced += Int(slot[at // 2 + i] != 1 << 40)
                    slot[at // 2 + i] = number

        # ---- Fragments, as the instruction's definition has them.
        for warp in range(Shape.WARPS):
            var part = Shape.Warps.part(warp)
            for m in range(Shape.ROWS // 16):
                for n in range(Shape.WIDTH // 8):
                    for half in range(2):
                        var a = List(length=16 * 16, fill=0)
                        var b = List(length=16 * 8, fill=0)
                        for lane in range(32):
                            var group = lane // 4
                            var q = lane % 4 * 2
                            var piece = part * 4 + lane % 4
                            var upper = (
                                Shape.Tile.place(
                                    Shape.Warps.first_token(warp) + group, piece
                                )
                                + 2 * m * 8 * Shape.CHUNKS * COPY
                            ) // 2
                            var lower = upper + 8 * Shape.CHUNKS * COPY // 2
                            var column = (
                                Shape.Tile.place(
                                    Shape.TOKENS
                                    + Shape.Warps.first_row(warp)
                                    + group,
                                    piece,
                                )
                                + n * 8 * Shape.CHUNKS * COPY
                            ) // 2
                            for i in range(2):
                                # Word 2 half of the 16 bytes, then word 2 half + 1: two values each.
                                var near = half * 4 + i
                                var far = half * 4 + 2 + i
                                a[group * 16 + q + i] = slot[upper + near]
                                a[(group + 8) * 16 + q + i] = slot[lower + near]
                                a[group * 16 + q + 8 + i] = slot[upper + far]
                                a[(group + 8) * 16 + q + 8 + i] = slot[
                                    lower + far
                                ]
                                b[(q + i) * 8 + group] = slot[column + near]
                                b[(q + 8 + i) * 8 + group] = slot[column + far]
                        for lane in range(32):
                            for i in range(4):
                                var row = lane // 4 + i // 2 * 8
                                var column = lane % 4 * 2 + i % 2
                                var sum = 0
                                for k in range(16):
                                    sum += a[row * 16 + k] * b[k * 8 + column]
                                var at = Shape.sum_place(
                                    part,
                                    Shape.Warps.first_token(warp)
                                    + lane // 4
                                    + m * 16
                                    + i // 2 * 8,
                                    Shape.Warps.first_row(warp)
                                    + n * 8
                                    + lane % 4 * 2
                                    + i % 2,
                                )
                                if step == 0 and half == 0:
                                    # Nobody else's.
                                    misplaced += first_sums[at]
                                    first_sums[at] = 1
                                    sums[at] = 0
                                sums[at] += sum

    # ---- Banks: shared memory serves eight lanes of 16 bytes at once.
    for warp in range(Shape.WARPS):
        for quarter in range(4):
            for matrix in range(2):
                var seen = UInt32(0)
                for lane in range(quarter * 8, quarter * 8 + 8):
                    var row = lane // 4 + (
                        Shape.TOKENS + Shape.Warps.first_row(warp) if matrix
                        == 1 else Shape.Warps.first_token(warp)
                    )
                    var at = Shape.Tile.place(
                        row, Shape.Warps.part(warp) * 4 + lane % 4
                    )
                    seen |= UInt32(1) << UInt32(at // 16 % 8)
                conflicts += Int(seen != 255)

    var wrong = 0
    for token in range(Shape.TOKENS):
        for expert in range(COLUMNS):
            var expected = 0
            if token < tokens and expert < experts:
                for i in range(features):
                    expected += value(1, token, i, features) * value(
                        2, expert, i, features
                    )
            var sum = 0
            for part in range(Shape.PARTS):
                sum += sums[Shape.sum_place(part, token, expert)]
            wrong += Int(sum != expected)
    report.check(
        String(
            "route many: ",
            tokens,
            " tokens, ",
            experts,
            " of ",
            COLUMNS,
            " experts, ",
            features,
            " features",
        ),
        wrong + misplaced + conflicts,
        String(
            "wrong (",
            wrong,
            " sums, ",
            misplaced,
            " places, ",
            conflicts,
            " bank conflicts)",
        ),
    )


def check_keys(mut report: Report):
    """Keys are in the order of their numbers, and give them back."""
    var wrong = 0
    var last = UInt32(0)
    for number in [
        Float32.MIN,
        Float32(-3.5),
        -1e-40,
        -0.0,
        0.0,
        1e-40,
        2.25,
        Float32.MAX,
    ]:
        var key = order_key(number)
        wrong += Int(key <= last)
        wrong += Int(ordered_number(key) != number)
        last = key
    var nan = Float32(0) / Float32(0)
    for number in [nan, -nan]:
        var back = ordered_number(order_key(number))
        wrong += Int(back == back)
        wrong += Int(order_key(number) == 0)
    report.check("keys have the order of numbers", wrong, "wrong keys")


def main() raises:
    var report = Report()
    check_block[32](report, 32, 32, 256)
    check_block[32](report, 7, 12, 168)
    check_block[32](report, 1, 1, 8)
    check_block[128](report, 64, 128, 136)
    check_block[128](report, 50, 100, 24)
    check_block[256](report, 64, 256, 64)
    check_block[256](report, 3, 129, 72)
    check_keys(report)
    var wrong = 0
    for experts in range(1, 257):
        var columns = route_columns(experts)
        wrong += Int(columns < experts)
        wrong += Int(columns != 32 and columns != 128 and columns != 256)
    wrong += Int(route_columns(32) != 32) + Int(route_columns(128) != 128)
    report.check("the columns hold all experts", wrong, "numbers do not fit")
    report.finish()
