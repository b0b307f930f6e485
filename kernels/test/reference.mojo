"""The scalar reference: MXFP4 by the book, in float64, one value at a time. It exists only here.

It reads the checkpoint's own order and shares no code with the kernel package.
"""

from std.memory import Pointer, bitcast

comptime Bytes = Pointer[UInt8, MutAnyOrigin]
comptime BF16 = Pointer[BFloat16, MutAnyOrigin]


@always_inline
def e2m1_value(code: UInt32) -> Float64:
    """Value of a 4-bit E2M1 code (MX v1.0, table 5): sign, two exponent bits with bias 1, one mantissa bit."""
    var exponent = (code >> 1) & 3
    var mantissa = Float64(code & 1)
    var magnitude = mantissa * 0.5
    if exponent > 0:
        magnitude = (1.0 + mantissa * 0.5) * Float64(1 << (exponent - 1))
    return -magnitude if (code & 8) != 0 else magnitude


@always_inline
def power_of_two(exponent: Int) -> Float64:
    """2^exponent for a normal float64."""
    return bitcast[DType.float64, 1](UInt64(exponent + 1023) << 52)


@always_inline
def weight(code: UInt32, scale: UInt32) -> Float64:
    """`code * 2^(scale - 127)` rounded to bf16: subnormals kept, overflow to infinity, scale 0xff NaN.

    Rounding is needed nowhere but at the top: the smallest weight, 0.5 * 2^-127, is 2^5 times the smallest bf16.
    """
    if scale == 255:
        return bitcast[DType.float64, 1](UInt64(0x7FF8_0000_0000_0000))
    var exact = e2m1_value(code) * power_of_two(Int(scale) - 127)
    # The largest finite bf16 is (2 - 2^-7) * 2^127; with codes of two significant bits only 2^128 and above overflow.
    if exact >= power_of_two(128):
        return bitcast[DType.float64, 1](UInt64(0x7FF0_0000_0000_0000))
    if exact <= -power_of_two(128):
        return bitcast[DType.float64, 1](UInt64(0xFFF0_0000_0000_0000))
    return exact


@always_inline
def weight_at(
    codes: Bytes, scales: Bytes, row: Int, column: Int, k: Int
) -> Float64:
    """One weight of one expert in checkpoint order: codes u8 [n, k/2] with the even column in the low nibble, scales u8
    [n, k/32].
    """
    var byte = UInt32(codes[unsafe_offset=row * (k // 2) + column // 2])
    var code = (byte >> 4) if column % 2 == 1 else (byte & 15)
    return weight(
        code, UInt32(scales[unsafe_offset=row * (k // 32) + column // 32])
    )


@fieldwise_init
struct Sum(TrivialRegisterPassable):
    """A dot product and the sum of the absolute values of its terms, which bounds its rounding error."""

    var value: Float64
    var absolute: Float64


@always_inline
def dot(x: BF16, codes: Bytes, scales: Bytes, row: Int, k: Int) -> Sum:
    """Multiply one token, bf16 [k], with one weight row."""
    var value = Float64(0)
    var absolute = Float64(0)
    for column in range(k):
        var term = x[unsafe_offset=column].cast[DType.float64]() * weight_at(
            codes, scales, row, column, k
        )
        value += term
        absolute += abs(term)
    return Sum(value, absolute)
