"""Packing is a bijection: each code and each scale of the checkpoint stands exactly once where the fragment of WGMMA
puts it, and padding is zero.
"""

from harness import Report, hash32
from mxfp4.format import gather_codes
from mxfp4.layout import packed_words, padded
from mxfp4.pack import pack
from reference import Bytes


def code_at(codes: Bytes, row: Int, column: Int, n: Int, k: Int) -> UInt32:
    if row >= n or column >= k:
        return 0
    var byte = UInt32(codes[unsafe_offset=row * (k // 2) + column // 2])
    return (byte >> 4) if column % 2 == 1 else (byte & 15)


def check_shape(mut report: Report, experts: Int, n: Int, k: Int):
    var codes = List(length=experts * n * k // 2, fill=UInt8(0))
    var scales = List(length=experts * n * k // 32, fill=UInt8(0))
    for i in range(experts * n * k // 2):
        codes[i] = UInt8(hash32(1, UInt32(i)) & 255)
    for i in range(experts * n * k // 32):
        scales[i] = UInt8(hash32(2, UInt32(i)) & 255)
    var packed = List(length=experts * packed_words(n, k), fill=UInt32(0))
    pack(
        packed.unsafe_ptr().as_unsafe_any_origin(),
        codes.unsafe_ptr().as_unsafe_any_origin(),
        scales.unsafe_ptr().as_unsafe_any_origin(),
        experts,
        n,
        k,
    )

    # Walk the packed order as the lanes do and ask for the code that the fragment layout wants there. Every word is
    # visited once and every (row, column) belongs to one (word, register, half), so equality is a bijection.
    var wrong = 0
    var wrong_scales = 0
    var at = 0
    for expert in range(experts):
        var base = (
            codes.unsafe_ptr()
            .unsafe_offset(expert * n * k // 2)
            .as_unsafe_any_origin()
        )
        for row_tile in range(padded(n) // 64):
            for column_tile in range(padded(k) // 64):
                for warp in range(4):
                    for lane in range(32):
                        for step in range(4):
                            var word = packed[at]
                            at += 1
                            comptime for reg in range(4):
                                var pair = gather_codes[reg](word)
                                var row = (
                                    row_tile * 64
                                    + warp * 16
                                    + 2 * (lane // 4)
                                    + (reg & 1)
                                )
                                var column = (
                                    column_tile * 64
                                    + step * 16
                                    + 2 * (lane % 4)
                                    + 8 * (reg >> 1)
                                )
                                for half in range(2):
                                    var bits = (
                                        pair >> UInt32(16 * half)
                                    ) & 0xFFFF
                                    var code = ((bits >> 12) & 8) | (
                                        (bits >> 6) & 7
                                    )
                                    wrong += Int(
                                        code
                                        != code_at(
                                            base, row, column + half, n, k
                                        )
                                    )
                for row_in in range(64):
                    for block in range(2):
                        var row = row_tile * 64 + row_in
                        var column = column_tile * 2 + block
                        var wanted = UInt32(0)
                        if row < n and column < k // 32:
                            wanted = UInt32(
                                scales[(expert * n + row) * (k // 32) + column]
                            )
                        var byte = row_in * 2 + block
                        var got = packed[at + byte // 4] >> UInt32(
                            8 * (byte % 4)
                        )
                        wrong_scales += Int(got & 255 != wanted)
                at += 32
    var shape = (
        "[" + String(experts) + ", " + String(n) + ", " + String(k) + "]"
    )
    report.check(
        "codes of " + shape + " pack one to one",
        wrong,
        "codes are out of place",
    )
    report.check(
        "scales of " + shape + " pack one to one",
        wrong_scales,
        "scales are out of place",
    )


def main() raises:
    var report = Report()
    check_shape(report, 1, 64, 64)
    check_shape(report, 2, 128, 192)
    check_shape(report, 3, 32, 32)
    check_shape(report, 2, 96, 2880)
    check_shape(report, 1, 2880, 160)
    report.finish()
