"""From packed codes and scales to the A registers of WGMMA."""

from ...format import (
    excess_multiplier,
    gather_codes,
    half_of_both,
    multiply_pairs,
    scale_multiplier,
    scale_multipliers,
)
from ...ptx import any_lane, byte, pin


@always_inline
def has_large(scales: UInt32) -> Bool:
    """Whether one of four scales is above 127, in any lane of the warp; 2^(scale - 1) is not a bf16 for those above 128.

    No trained model has them: they are weights of 2 and more. All lanes get the same answer, because WGMMA needs them
    together.
    """
    return any_lane((scales & 0x8080_8080) != 0)


@always_inline
def decode(
    codes: SIMD[DType.uint32, 4], scales: UInt32, large: Bool
) -> SIMD[DType.uint32, 16]:
    """Turn a lane's 32 codes into the A registers of four k steps.

    Args:
        codes: One word a k step.
        scales: Four bytes, [2 rows][2 blocks of 32 columns].
        large: Whether `has_large(scales)`, or more.

    Returns:
        Pairs of bf16; register r of step s at index 4s + r.
    """
    var a = SIMD[DType.uint32, 16]()
    comptime for block in range(2):
        var factors = scale_multipliers[block](scales)
        comptime for step in range(2 * block, 2 * block + 2):
            comptime for reg in range(4):
                # Odd registers are the second row.
                a[4 * step + reg] = multiply_pairs(
                    gather_codes[reg](codes[step]),
                    half_of_both[reg % 2](factors),
                )
    if large:
        # `pin` keeps the compiler from computing both sides and selecting, which would cost every step 50 instructions.
        var again = pin(scales)
        comptime for i in range(4):
            var scale = byte[i](again)
            var factor = scale_multiplier(min(scale, 128))
            var excess = excess_multiplier(scale)
            # Byte i belongs to row i / 2 and block i % 2.
            comptime for s in range(2):
                comptime for r in range(2):
                    comptime step = (i % 2) * 2 + s
                    comptime reg = i // 2 + 2 * r
                    a[4 * step + reg] = multiply_pairs(
                        multiply_pairs(gather_codes[reg](codes[step]), factor),
                        excess,
                    )
    return a
