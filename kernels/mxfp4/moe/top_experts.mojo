"""Which experts a token goes to: the highest of its logits, and their softmax."""

from std.math import exp
from std.memory import bitcast

from max.gpu import WARP_SIZE, lane_id

from ..ptx import warp_max, warp_min
from ..pointers import ExpertIds, Floats

comptime MAX_EXPERTS = 256
"""Most experts of a layer: the router's logits and the counts of the sort live in shared memory."""
comptime MAX_TOP = 8
"""Most experts of a token."""


def check_sizes(experts: Int, top: Int, features: Int) raises:
    """Refuse numbers that no kernel of the routing takes."""
    if experts < 1 or experts > MAX_EXPERTS:
        raise Error(
            "mxfp4 routing: 1 to ", MAX_EXPERTS, " experts, got ", experts
        )
    if top < 1 or top > min(MAX_TOP, experts):
        raise Error(
            "mxfp4 routing: 1 to ",
            min(MAX_TOP, experts),
            " experts a token, got ",
            top,
        )
    if features < 8 or features % 8 != 0:
        raise Error(
            "mxfp4 routing: features must be a positive multiple of 8, got ",
            features,
        )


@always_inline
def order_key(value: Float32) -> UInt32:
    """Map a number to an integer of the same order; not-a-number comes above or below all others, and is never lost.

    No number becomes 0, which marks an expert that is not there.
    """
    var bits = bitcast[DType.uint32, 1](value)
    return max(~bits if bits >> 31 == 1 else bits | 0x8000_0000, UInt32(1))


@always_inline
def ordered_number(key: UInt32) -> Float32:
    """The number that `order_key` made this key of."""
    return bitcast[DType.float32, 1](
        key & 0x7FFF_FFFF if key >> 31 == 1 else ~key
    )


@always_inline
def choose_experts[
    EACH: Int
](
    chosen: ExpertIds,
    weights: Floats,
    keys: SIMD[DType.uint32, EACH],
    token: Int,
    top: Int,
):
    """Write the `top` experts of one token, the likeliest first and of equals the lower number, and their shares.

    A warp works on it: lane l has the keys of experts l, l + 32, ...
    """
    comptime NONE = EACH * WARP_SIZE
    var lane = Int(lane_id())
    var left = keys
    var highest = Float32(0)
    var total = Float32(0)
    var own = Float32(0)
    for pick in range(top):
        var best = warp_max(left.reduce_max())
        var index = UInt32(NONE)
        comptime for i in reversed(range(EACH)):
            if left[i] == best:
                index = UInt32(i * WARP_SIZE + lane)
        # Of equals the first.
        index = warp_min(index)
        comptime for i in range(EACH):
            if UInt32(i * WARP_SIZE + lane) == index:
                left[i] = 0
        var logit = ordered_number(best)
        if pick == 0:
            highest = logit
        var share = exp(logit - highest)
        total += share
        if lane == pick:
            own = share
            chosen[unsafe_offset=token * top + pick] = Int32(index)
    if lane < top:
        weights[unsafe_offset=token * top + lane] = own / total
