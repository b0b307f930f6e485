"""The router for few tokens, as its index arithmetic has it, walked on the CPU: every feature is multiplied once by one warp
of the cluster, the tensor core's fragments make the sums of experts and tokens that they stand for, what a warp stores at
once meets in no bank, and every block sends each sum to where the warp that chooses looks for it.

How the GPU orders barriers and what is sent is not seen here; `test_gpu_routing` runs the kernel.
"""

from harness import Report, hash32
from mxfp4.moe.router_few import (
    FEW_BLOCKS,
    FEW_THREADS,
    FEW_WARPS,
    FewRoute,
    QUAD,
    STEP,
    few_blocks,
    few_tokens,
)

comptime NOTHING = 1 << 40
"""What stands where nobody wrote: it spoils every sum."""


def value(seed: UInt32, row: Int, feature: Int, features: Int) -> Int:
    """A whole number from -4 to 3: sums of products are exact."""
    return Int(hash32(seed, UInt32(row * features + feature)) % 8) - 4


def add_step[
    COLUMNS: Int, TOKENS: Int
](
    mut logits: List[Int],
    warp: Int,
    step: Int,
    experts: Int,
    tokens: Int,
    features: Int,
):
    """Add a warp's products of one step to its logits, four for each lane and eight tokens, as the instruction has them."""
    comptime Shape = FewRoute[COLUMNS, TOKENS]
    var expert = Int(Shape.first_expert(UInt32(warp)))
    for half in range(2):
        for n in range(Shape.EIGHTS):
            var a = List(length=16 * 16, fill=0)
            var b = List(length=16 * 8, fill=0)
            for lane in range(32):
                var group = lane // 4
                var q = lane % 4 * 2
                # Word 2 half of a lane's 16 bytes, then word 2 half + 1: two values each.
                for i in range(4):
                    var feature = step * STEP + lane % 4 * 8 + half * 4 + i
                    if feature >= features:
                        continue
                    var k = q + i % 2 + i // 2 * 8
                    for r in range(2):
                        a[(group + 8 * r) * 16 + k] = value(
                            2,
                            min(expert + group + 8 * r, experts - 1),
                            feature,
                            features,
                        )
                    b[k * 8 + group] = value(
                        1, min(8 * n + group, tokens - 1), feature, features
                    )
            for lane in range(32):
                for i in range(4):
                    var row = lane // 4 + i // 2 * 8
                    var column = lane % 4 * 2 + i % 2
                    for k in range(16):
                        logits[(n * 32 + lane) * 4 + i] += (
                            a[row * 16 + k] * b[k * 8 + column]
                        )


def check_cluster[
    COLUMNS: Int, TOKENS: Int
](mut report: Report, tokens: Int, experts: Int, features: Int):
    """One cluster with this many tokens, as its threads would do it."""
    comptime Shape = FewRoute[COLUMNS, TOKENS]
    comptime PLACES = FEW_BLOCKS * Shape.RECEIVED
    var received = List(length=PLACES, fill=NOTHING)
    var bytes = List(length=FEW_BLOCKS * Shape.EIGHTS, fill=0)
    var misplaced = 0
    var conflicts = 0
    var quads = (experts + QUAD - 1) // QUAD
    var steps = UInt32(features // STEP)
    for block in range(FEW_BLOCKS):
        var sums = List(length=Shape.SUMS, fill=NOTHING)
        for warp in range(FEW_WARPS):
            # ---- Products.
            var part = Shape.part(UInt32(warp))
            var expert = Shape.first_expert(UInt32(warp))
            var logits = List(length=Shape.EIGHTS * 32 * 4, fill=0)
            if Int(expert) < experts:
                for step in range(
                    Int(Shape.first_step(UInt32(block), part, steps)),
                    Int(Shape.first_step(UInt32(block), part + 1, steps)),
                ):
                    add_step[COLUMNS, TOKENS](
                        logits, warp, step, experts, tokens, features
                    )
                if (
                    features % STEP != 0
                    and block * Shape.PARTS + Int(part)
                    == FEW_BLOCKS * Shape.PARTS - 1
                ):
                    add_step[COLUMNS, TOKENS](
                        logits, warp, Int(steps), experts, tokens, features
                    )

            # ---- Sums of the warps.
            for n in range(Shape.EIGHTS):
                for i in range(4):
                    var banks = UInt32(0)
                    for lane in range(32):
                        var at = Int(
                            Shape.sum_place(
                                part,
                                UInt32(n * 8 + lane % 4 * 2 + i % 2),
                                expert + UInt32(lane // 4 + i // 2 * 8),
                            )
                        )
                        misplaced += Int(sums[at] != NOTHING)
                        sums[at] = logits[(n * 32 + lane) * 4 + i]
                        banks |= UInt32(1) << UInt32(at % 32)
                    conflicts += Int(banks != ~UInt32(0))

        # ---- What the block sends.
        for thread in range(FEW_THREADS):
            for unit in range(thread, tokens * COLUMNS // QUAD, FEW_THREADS):
                var token = UInt32(unit // (COLUMNS // QUAD))
                var quad = unit % (COLUMNS // QUAD)
                if quad >= quads:
                    continue
                var to = Int(Shape.choosing_block(token))
                var warp = Int(Shape.choosing_warp(token))
                bytes[to * Shape.EIGHTS + warp] += QUAD * 4
                for i in range(QUAD):
                    var sum = 0
                    for other in range(Shape.PARTS):
                        sum += sums[
                            Int(
                                Shape.sum_place(
                                    UInt32(other),
                                    token,
                                    UInt32(quad * QUAD + i),
                                )
                            )
                        ]
                    var place = Int(
                        Shape.received_place(
                            UInt32(warp), UInt32(block), UInt32(quad * QUAD + i)
                        )
                    )
                    misplaced += Int(place >= Shape.RECEIVED)
                    var at = to * Shape.RECEIVED + place
                    misplaced += Int(received[at] != NOTHING)
                    received[at] = sum

    # ---- What the warps that choose find.
    var wrong = 0
    var found = 0
    for block in range(FEW_BLOCKS):
        for warp in range(FEW_WARPS):
            var token = warp * FEW_BLOCKS + block
            if token >= tokens:
                continue
            found += 1
            # Or it would wait for ever, or not long enough.
            wrong += Int(
                bytes[block * Shape.EIGHTS + warp]
                != quads * FEW_BLOCKS * QUAD * 4
            )
            for expert in range(experts):
                var sum = 0
                for other in range(FEW_BLOCKS):
                    sum += received[
                        block * Shape.RECEIVED
                        + Int(
                            Shape.received_place(
                                UInt32(warp), UInt32(other), UInt32(expert)
                            )
                        )
                    ]
                var expected = 0
                for i in range(features):
                    expected += value(1, token, i, features) * value(
                        2, expert, i, features
                    )
                wrong += Int(sum != expected)
    wrong += Int(found != tokens)
    report.check(
        String(
            "route few: ",
            tokens,
            " of ",
            TOKENS,
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


def check_clusters(mut report: Report):
    """Every token has a cluster, and every cluster a token."""
    var wrong = 0
    for tokens in range(1, 1000):
        var each = few_tokens(tokens)
        var clusters = few_blocks(tokens) // FEW_BLOCKS
        wrong += Int(each != 8 and each != 16)
        wrong += Int(few_blocks(tokens) % FEW_BLOCKS != 0)
        wrong += Int(
            clusters * each < tokens or (clusters - 1) * each >= tokens
        )
    report.check("clusters have all tokens", wrong, "numbers do not fit")


def main() raises:
    var report = Report()
    check_cluster[32, 8](report, 8, 32, 2880)
    check_cluster[32, 8](report, 1, 12, 168)
    check_cluster[32, 8](report, 3, 1, 8)
    check_cluster[32, 16](report, 16, 32, 288)
    check_cluster[32, 16](report, 9, 31, 40)
    check_cluster[128, 8](report, 8, 128, 2880)
    check_cluster[128, 8](report, 5, 33, 1048)
    check_cluster[128, 16](report, 16, 128, 136)
    check_cluster[128, 16](report, 13, 100, 24)
    check_cluster[256, 8](report, 8, 256, 544)
    check_cluster[256, 8](report, 2, 129, 64)
    check_cluster[256, 16](report, 16, 256, 64)
    check_cluster[256, 16](report, 10, 201, 72)
    check_clusters(report)
    report.finish()
