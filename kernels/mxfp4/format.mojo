"""MXFP4 as a number format: what a code and a scale mean, and how a lane decodes them.

Source: OCP Microscaling Formats (MX) v1.0, sections 5.3.3 (E2M1), 5.4.1 (E8M0) and 6.3.

A weight is `code * 2^(scale - 127)` rounded to bf16: subnormals are kept, overflow gives infinity, and a scale of
0xff makes the whole block of 32 NaN. Every code is exact in bf16 and every scale is a power of two, so rounding
happens only where the range of bf16 ends.
"""

from std.memory import bitcast

from .ptx import every_other_byte, multiply_add

comptime E2M1_MASK = UInt32(0x81C0_81C0)
"""Where the sign and the three magnitude bits of two codes sit in a pair of bf16: bit 15, and bits 8 to 6."""


@always_inline
def spread_codes(pair: UInt32, reg: Int) -> UInt32:
    """Place two codes where `gather_codes` finds them; the words of all four registers are or-ed together.

    Args:
        pair: Bits 3:0 hold the code for the low half of the register, bits 19:16 the one for the high half.
        reg: Which of the four A registers of one WGMMA k step the pair belongs to (0 to 3).

    Returns:
        The bits that the pair occupies in the packed word.
    """
    # Each half word has 16 bits and takes four codes of 4. A code that stands as S......EEM...... (mask 0x81C0) is
    # decoded by one AND. Three rotations of that mask (0, 4 and 10 bits) share no bit; the four bits that are left
    # over (0, 1, 9, 10) take the fourth code, in two pieces. So eight codes cost nine integer operations.
    var sign = (pair >> 3) & 0x0001_0001
    var magnitude = pair & 0x0007_0007
    if reg == 0:
        return (sign << 15) | (magnitude << 6)
    if reg == 1:
        return (sign << 11) | (magnitude << 2)
    if reg == 2:
        # Rotated left by 10: bits 14:12 come out at 8:6 of the *other* half.
        var swapped = (magnitude << 16) | (magnitude >> 16)
        return (sign << 5) | (swapped << 12)
    return (
        (sign << 9) | (((pair >> 2) & 0x0001_0001) << 10) | (pair & 0x0003_0003)
    )


@always_inline
def gather_codes[reg: Int](word: UInt32) -> UInt32:
    """Take the two codes of register `reg` out of a packed word, as a pair of bf16 scaled by 2^-126.

    The two exponent bits of E2M1 become the low exponent bits of bf16, its mantissa bit the top mantissa bit; a
    subnormal code becomes a subnormal bf16, so one multiplication by a power of two finishes every code alike.
    """
    comptime if reg == 0:
        return word & E2M1_MASK
    elif reg == 1:
        return (word << 4) & E2M1_MASK
    elif reg == 2:
        return ((word << 10) | (word >> 22)) & E2M1_MASK
    else:
        return ((word << 6) & 0x80C0_80C0) | ((word >> 2) & 0x0100_0100)


@always_inline
def scale_multiplier(scale: UInt32) -> UInt32:
    """Turn an E8M0 scale of at most 128 into a pair of bf16 `2^(scale - 1)`: the scale and the 2^126 of the decode."""
    return (scale + 126) * 0x0080_0080


@always_inline
def scale_multipliers[block: Int](scales: UInt32) -> UInt32:
    """Turn the scales of two rows, each at most 128, into a pair of bf16 `2^(scale - 1)`: row 0 in the low half.

    Parameters:
        block: Which of the two blocks of 32 columns.

    Args:
        scales: Four bytes, [2 rows][2 blocks].
    """
    return multiply_add(
        every_other_byte[block](scales), 0x80, 126 * 0x0080_0080
    )


@always_inline
def excess_multiplier(scale: UInt32) -> UInt32:
    """What a scale above 128 still lacks after `scale_multiplier(128)`, as a pair of bf16; 0xff gives NaN, and a scale
    of at most 128 gives one.
    """
    var pair = (max(scale, 128) - 1) * 0x0080_0080
    return UInt32(0x7FC0_7FC0) if scale == 255 else pair


@always_inline
def half_of_both[half: Int](pair: UInt32) -> UInt32:
    """One half of a word in both; `mul.bf16x2` takes an operand so, which costs no instruction."""
    var one = bitcast[DType.bfloat16, 2](pair)[half]
    return bitcast[DType.uint32, 1](SIMD[DType.bfloat16, 2](one, one))


@always_inline
def multiply_pairs(a: UInt32, b: UInt32) -> UInt32:
    """Multiply two pairs of bf16, each rounded once (PTX `mul.rn.bf16x2`, subnormals supported, sm_90)."""
    return bitcast[DType.uint32, 1](
        bitcast[DType.bfloat16, 2](a) * bitcast[DType.bfloat16, 2](b)
    )
