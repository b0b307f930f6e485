"""The router: which experts a token goes to. `router_few` is its kernel for few tokens, `router_many` that for many."""

from max.gpu.host import DeviceContext

from ..pointers import BF16, ExpertIds, Floats
from .router_few import route_few
from .router_many import route_many


def route_wide(tokens: Int) -> Bool:
    """Whether so many tokens go to `router_many`, whose blocks have all of the router, and not to `router_few`, whose clusters
    share it.
    """
    return tokens > 256


def route(
    chosen: ExpertIds,
    weights: Floats,
    x: BF16,
    router: BF16,
    bias: BF16,
    *,
    tokens: Int,
    features: Int,
    experts: Int,
    top: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue the router: logits = x router^T + bias in float32, the `top` highest, and the softmax over those.

    Args:
        chosen: Result, i32 [T, K]: the experts of each token, the likeliest first; of equals the lower number.
        weights: Result, float32 [T, K]: their shares, which sum to one.
        x: Tokens, bf16 [T, H].
        router: Its weights, bf16 [E, H]. They are read before the kernel in front of this one has ended, so that one must not
            write them, and none that may still run then: weights that were loaded before are right, and what a copy brings.
        bias: Its bias, bf16 [E], read as early.
        tokens: T.
        features: H, a multiple of 8.
        experts: E, at most 256.
        top: K, at most 8.
        ctx: The device.

    Raises:
        When a number is outside these limits, or the launch fails.
    """
    if route_wide(tokens):
        route_many(
            chosen,
            weights,
            x,
            router,
            bias,
            tokens=tokens,
            features=features,
            experts=experts,
            top=top,
            ctx=ctx,
        )
    else:
        route_few(
            chosen,
            weights,
            x,
            router,
            bias,
            tokens=tokens,
            features=features,
            experts=experts,
            top=top,
            ctx=ctx,
        )
