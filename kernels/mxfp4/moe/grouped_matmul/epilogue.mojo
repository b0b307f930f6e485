"""What becomes of the sums: bias, activation, one rounding, and the stores."""

from std.math import exp
from std.memory import bitcast

from max.gpu import lane_id

from ...pointers import BF16
from ...ptx import reciprocal, transpose8
from ..schedule import Unit
from .config import PLAIN, SWIGLU, accumulators

comptime SWIGLU_ALPHA = Float32(1.702)
comptime SWIGLU_LIMIT = Float32(7.0)


@always_inline
def swiglu(gate: Float32, up: Float32) -> Float32:
    """GPT-OSS's gated activation: (up + 1) * gate * sigmoid(alpha * gate), both clamped first."""
    # Not `min` and `max`: those drop a NaN, and a broken weight would come out as a plausible number.
    var g = SWIGLU_LIMIT if gate > SWIGLU_LIMIT else gate
    var u = SWIGLU_LIMIT if up > SWIGLU_LIMIT else up
    u = -SWIGLU_LIMIT if u < -SWIGLU_LIMIT else u
    # The gate's product first: (u + 1) * g can overflow where the sigmoid is zero.
    return (u + 1) * (g * reciprocal(1 + exp(-SWIGLU_ALPHA * g)))


@always_inline
def write[
    WIDTH: Int, EPILOGUE: Int
](
    sums: SIMD[DType.float32, accumulators(WIDTH)],
    y: BF16,
    bias: BF16,
    unit: Unit,
    row: UInt32,
    rows: UInt32,
):
    """Finish the sums of a warp and store them.

    Accumulator 4j + 2p + q of a lane (PTX ISA, "Register Fragments", matrix D) is weight row 2g + p of the warp's 16 and
    token 8j + 2t + q, with g = lane / 4 and t = lane % 4.

    Args:
        sums: The sums.
        y: Result.
        bias: Bias of all experts.
        unit: Which rows of weights and tokens these are.
        row: First weight row of the warp.
        rows: Weight rows of an expert.
    """
    # Rows come in 32 and a warp has 16 of them: all of its lanes store, or none.
    if row >= rows:
        return
    var lane = UInt32(lane_id())
    var feature = row + lane // 4 * 2
    var bias0 = Float32(0)
    var bias1 = Float32(0)
    comptime if EPILOGUE != PLAIN:
        var at = Int(unit.expert) * Int(rows) + Int(feature)
        var pair = bias.unsafe_offset(at).unsafe_load[width=2, alignment=4]()
        bias0 = pair[0].cast[DType.float32]()
        bias1 = pair[1].cast[DType.float32]()
    comptime if EPILOGUE == SWIGLU:
        # Transposed, a lane holds two neighbouring outputs of token 8j + g.
        var target = y.unsafe_offset(
            (Int(unit.first) + Int(lane // 4)) * Int(rows // 2)
            + Int(row // 2 + lane % 4 * 2)
        )
        comptime for j in range(WIDTH // 8):
            var pair = transpose8(
                bitcast[DType.uint32, 1](
                    SIMD[DType.float32, 2](
                        swiglu(sums[4 * j] + bias0, sums[4 * j + 2] + bias1),
                        swiglu(
                            sums[4 * j + 1] + bias0, sums[4 * j + 3] + bias1
                        ),
                    ).cast[DType.bfloat16]()
                )
            )
            if UInt32(j * 8) + lane // 4 < unit.tokens:
                target.unsafe_store[alignment=4](
                    bitcast[DType.bfloat16, 2](pair)
                )
            target = target.unsafe_offset(8 * Int(rows // 2))
    else:
        var target = y.unsafe_offset(
            (Int(unit.first) + Int(lane % 4 * 2)) * Int(rows) + Int(feature)
        )
        comptime for j in range(WIDTH // 8):
            comptime for q in range(2):
                if UInt32(j * 8 + q) + lane % 4 * 2 < unit.tokens:
                    target.unsafe_offset(q * Int(rows)).unsafe_store[
                        alignment=4
                    ](
                        SIMD[DType.float32, 2](
                            sums[4 * j + q] + bias0,
                            sums[4 * j + 2 + q] + bias1,
                        ).cast[DType.bfloat16]()
                    )
            target = target.unsafe_offset(8 * Int(rows))
