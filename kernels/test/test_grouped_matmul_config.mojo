"""The compiled shapes of the grouped matmul: what stands in shared memory fits and does not overlap, a unit of work survives
its way through it, and addresses that the kernel cannot copy from are refused.
"""

from harness import Report
from mxfp4.moe.grouped_matmul.config import (
    BLOCK_BYTES,
    Config,
    TILE_BYTES,
    WIDTHS,
    least_row_tiles,
)
from mxfp4.moe.grouped_matmul.shared_memory import SharedMemory
from mxfp4.moe.schedule import MAX_GROUPS, UNITS_AHEAD, Unit
from mxfp4.ops.grouped_matmul import check_alignment


def check_shape[TOKENS: Int, ROW_TILES: Int](mut report: Report):
    comptime Shape = Config[TOKENS, ROW_TILES]
    comptime Memory = SharedMemory[TOKENS, ROW_TILES]
    Shape.check()
    Memory.check()
    # What each part of the plan must hold, from first to last: each ends where the next begins, or before.
    var sizes = [
        Shape.STAGES * Shape.STEPS * TOKENS * 64 * 2,
        Shape.STAGES * Shape.STEPS * ROW_TILES * TILE_BYTES,
        ROW_TILES * (Shape.K_SPLIT - 1) * 128 * (TOKENS // 2) * 4,
        Shape.STAGES * 16,
        Shape.STAGES * 8,
        Shape.STAGES * 8,
        UNITS_AHEAD * 8,
        UNITS_AHEAD * 4,
        MAX_GROUPS * 4,
    ]
    var places = [
        0,
        Memory.WEIGHTS,
        Memory.EXCHANGE,
        Memory.UNITS,
        Memory.FULL,
        Memory.EMPTY,
        Memory.ANNOUNCED,
        Memory.NEXT,
        Memory.ENDS,
        Memory.BYTES,
    ]
    var wrong = Int(Memory.BYTES > BLOCK_BYTES)
    for i in range(len(sizes)):
        wrong += Int(places[i] + sizes[i] > places[i + 1])
    # WGMMA's swizzle wants tokens at multiples of 1024 bytes, a bulk copy and a vector load 16, a barrier 8.
    wrong += Int(Shape.STEPS * TOKENS * 128 % 1024 != 0)
    wrong += Int(Memory.WEIGHTS % 16 != 0 or Memory.UNITS % 16 != 0)
    wrong += Int(Memory.FULL % 8 != 0 or Memory.ANNOUNCED % 8 != 0)
    report.check(
        String(
            "tiles of ",
            TOKENS,
            " tokens, ",
            ROW_TILES,
            " of rows: ",
            Shape.STAGES,
            " slots, ",
            Memory.BYTES,
            " bytes",
        ),
        wrong,
        "places overlap or are not aligned",
    )


def check_unit(mut report: Report):
    var wrong = 0
    for half in range(3):
        for row_block in [0, 1, 89, 0x3FFF_FFFF]:
            var unit = Unit(
                7, UInt32(row_block), 0xFFFF_FFF0, 256, UInt32(half)
            )
            var found = Unit(unit.words())
            wrong += Int(
                found.expert != unit.expert
                or found.row_block != unit.row_block
                or found.first != unit.first
                or found.tokens != unit.tokens
                or found.half != unit.half
            )
            for tile in range(2):
                wrong += Int(unit.has(tile) != (half == 0 or half == tile + 1))
    report.check("a unit survives its four words", wrong, "units do not")


def refusal(x: Int, weights: Int) -> String:
    try:
        check_alignment(x, weights)
        return ""
    except error:
        return String(error)


def check_addresses(mut report: Report):
    var wrong = 0
    for offset in range(0, 33):
        var aligned = offset % 16 == 0
        var of_x = refusal(4096 + offset, 4096)
        var of_weights = refusal(4096, 4096 + offset)
        wrong += Int((of_x == "") != aligned)
        wrong += Int((of_weights == "") != aligned)
        wrong += Int(not aligned and ": x must be aligned" not in of_x)
        wrong += Int(
            not aligned and "packed weights must be aligned" not in of_weights
        )
    # Without rows there may be no memory at all.
    wrong += Int(refusal(0, 0) != "")
    report.check(
        "addresses that 16 bytes cannot be copied from are refused",
        wrong,
        "are not",
    )


def main() raises:
    var report = Report()
    comptime for i in range(len(WIDTHS)):
        comptime TOKENS = WIDTHS[i]
        comptime for row_tiles in range(least_row_tiles(TOKENS), 3):
            check_shape[TOKENS, row_tiles](report)
    check_unit(report)
    check_addresses(report)
    report.finish()
