"""Decoding: every code with every scale, through the bit operations of the kernel, against the definition."""

from std.math import isnan
from std.memory import bitcast

from harness import Report
from mxfp4.format import (
    excess_multiplier,
    gather_codes,
    half_of_both,
    scale_multiplier,
    scale_multipliers,
    spread_codes,
)
from reference import e2m1_value, power_of_two, weight


def value_of(bits: UInt32) -> Float64:
    return bitcast[DType.bfloat16, 1](UInt16(bits & 0xFFFF)).cast[
        DType.float64
    ]()


def product(a: Float64, b: UInt32) -> Float64:
    """A product of bf16 that needs no rounding but may overflow.

    In float64, because hosts with AVX512-BF16 flush subnormal bf16 to zero. The
    multiplication of the device itself is tested on the device.
    """
    var exact = a * value_of(b)
    if abs(exact) >= power_of_two(128):
        return exact * power_of_two(1000)
    return exact


def decode(word: UInt32, reg: Int, scale: UInt32, half: Int) -> Float64:
    """The kernel's decode of one code, on the host."""
    var raw = UInt32(0)
    comptime for r in range(4):
        if r == reg:
            raw = gather_codes[r](word)
    var value = product(
        value_of(raw >> UInt32(16 * half)), scale_multiplier(min(scale, 128))
    )
    if scale >= 128:
        value = product(value, excess_multiplier(scale))
    return value


def same(a: Float64, b: Float64) -> Bool:
    return (isnan(a) and isnan(b)) or a == b


def main() raises:
    var report = Report()

    var listed = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    var wrong = 0
    for code in range(8):
        wrong += Int(e2m1_value(UInt32(code)) != listed[code])
        wrong += Int(e2m1_value(UInt32(code + 8)) != -listed[code])
    report.check(
        "the reference knows the 16 values of E2M1", wrong, "values differ"
    )

    # Every register position, every pair of codes, every scale.
    wrong = 0
    for reg in range(4):
        for low in range(16):
            for high in range(16):
                var word = spread_codes(UInt32(low | (high << 16)), reg)
                for scale in range(256):
                    wrong += Int(
                        not same(
                            decode(word, reg, UInt32(scale), 0),
                            weight(UInt32(low), UInt32(scale)),
                        )
                    )
                    wrong += Int(
                        not same(
                            decode(word, reg, UInt32(scale), 1),
                            weight(UInt32(high), UInt32(scale)),
                        )
                    )
    report.check(
        "every code with every scale decodes to the bf16 of the contract",
        wrong,
        "weights differ",
    )

    # The scales of two rows at once: each half is what the row's scale alone would give.
    wrong = 0
    for first in range(129):
        for second in range(129):
            var scales = UInt32(first | (second << 16))
            comptime for block in range(2):
                # What stands in the other block's bytes must not matter.
                var word = (scales << UInt32(8 * block)) | (
                    UInt32(0x7F7F_7F7F)
                    & ~(UInt32(0x00FF_00FF) << UInt32(8 * block))
                )
                var factors = scale_multipliers[block](word)
                wrong += Int(
                    half_of_both[0](factors) != scale_multiplier(UInt32(first))
                )
                wrong += Int(
                    half_of_both[1](factors) != scale_multiplier(UInt32(second))
                )
    report.check(
        "the scales of two rows decode as each alone", wrong, "factors differ"
    )

    # The four registers of a word occupy disjoint bits, and all 32 of them.
    var union = UInt32(0)
    wrong = 0
    for reg in range(4):
        var bits = spread_codes(0x000F_000F, reg)
        wrong += Int((union & bits) != 0)
        union |= bits
    wrong += Int(union != 0xFFFF_FFFF)
    report.check("the registers of a word share no bit", wrong, "overlaps")

    report.finish()
