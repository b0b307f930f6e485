"""Routing on a Hopper GPU, against plain sums in float64: the chosen experts and their shares, the order of the rows, and
the weighted sum.
"""

from std.math import exp
from std.memory import Pointer

from max.gpu.host import DeviceBuffer, DeviceContext

from harness import NEEDS_HOPPER, Report, fill_values, has_hopper, hash32
from mxfp4.routing import combine, route, sort_rows


def random(
    ctx: DeviceContext, count: Int, seed: Int
) raises -> DeviceBuffer[DType.bfloat16]:
    var buffer = ctx.enqueue_create_buffer[DType.bfloat16](max(count, 1))
    ctx.enqueue_function[fill_values](
        buffer.unsafe_ptr().as_unsafe_any_origin(),
        UInt64(len(buffer)),
        UInt32(seed),
        grid_dim=(len(buffer) + 255) // 256,
        block_dim=256,
    )
    return buffer^


def check_route(
    mut report: Report,
    ctx: DeviceContext,
    tokens: Int,
    features: Int,
    experts: Int,
    top: Int,
    ties: Bool = False,
) raises:
    """Every token's experts, or with `ties` equal logits, where the lower number has to win."""
    var x = random(ctx, tokens * features, 1)
    var router = random(ctx, experts * features, 2)
    var bias = random(ctx, experts, 3)
    if ties:
        router.enqueue_fill(0)
        bias.enqueue_fill(1)
    var chosen = ctx.enqueue_create_buffer[DType.int32](max(tokens * top, 1))
    var weights = ctx.enqueue_create_buffer[DType.float32](max(tokens * top, 1))
    route(
        chosen.unsafe_ptr().as_unsafe_any_origin(),
        weights.unsafe_ptr().as_unsafe_any_origin(),
        x.unsafe_ptr().as_unsafe_any_origin(),
        router.unsafe_ptr().as_unsafe_any_origin(),
        bias.unsafe_ptr().as_unsafe_any_origin(),
        tokens=tokens,
        features=features,
        experts=experts,
        top=top,
        ctx=ctx,
    )
    var wrong = 0
    with x.map_to_host() as hx, router.map_to_host() as hr:
        with bias.map_to_host() as hb, chosen.map_to_host() as hc:
            with weights.map_to_host() as hw:
                for token in range(tokens):
                    var logits = List[Float64]()
                    for expert in range(experts):
                        var sum = hb[expert].cast[DType.float64]()
                        for i in range(features):
                            sum += (
                                hx[token * features + i].cast[DType.float64]()
                                * hr[expert * features + i].cast[
                                    DType.float64
                                ]()
                            )
                        logits.append(sum)
                    var total = Float64(0)
                    for pick in range(top):
                        total += exp(
                            logits[Int(hc[token * top + pick])]
                            - logits[Int(hc[token * top])]
                        )
                    for pick in range(top):
                        var expert = Int(hc[token * top + pick])
                        # No expert left out is likelier; sums in float32 may differ by this much.
                        for other in range(experts):
                            var taken = False
                            for earlier in range(pick + 1):
                                taken = taken or other == Int(
                                    hc[token * top + earlier]
                                )
                            if not taken and (
                                logits[other] > logits[expert] + 1e-3
                                or (ties and other < expert)
                            ):
                                wrong += 1
                        for earlier in range(pick):
                            wrong += Int(
                                hc[token * top + earlier]
                                == hc[token * top + pick]
                            )
                        var share = (
                            exp(logits[expert] - logits[Int(hc[token * top])])
                            / total
                        )
                        var got = hw[token * top + pick].cast[DType.float64]()
                        wrong += Int(not (abs(got - share) <= 1e-3))
    report.check(
        String(
            "route ",
            tokens,
            " tokens to ",
            top,
            " of ",
            experts,
            " experts",
            ", all alike" if ties else "",
        ),
        wrong,
        "wrong choices or shares",
    )


def check_sort(
    mut report: Report,
    ctx: DeviceContext,
    tokens: Int,
    experts: Int,
    top: Int,
    only: Int = -1,
) raises:
    """The order of the rows; with `only`, all of one expert."""
    var count = tokens * top
    var chosen = ctx.enqueue_create_buffer[DType.int32](max(count, 1))
    var starts = ctx.enqueue_create_buffer[DType.uint32](experts + 1)
    var sources = ctx.enqueue_create_buffer[DType.uint32](max(count, 1))
    var places = ctx.enqueue_create_buffer[DType.uint32](max(count, 1))
    with chosen.map_to_host() as host:
        for i in range(count):
            host[i] = Int32(
                only if only >= 0 else Int(hash32(5, UInt32(i))) % experts
            )
    sort_rows(
        starts.unsafe_ptr().as_unsafe_any_origin(),
        sources.unsafe_ptr().as_unsafe_any_origin(),
        places.unsafe_ptr().as_unsafe_any_origin(),
        chosen.unsafe_ptr().as_unsafe_any_origin(),
        tokens=tokens,
        experts=experts,
        top=top,
        ctx=ctx,
    )
    var wrong = 0
    with chosen.map_to_host() as hc, starts.map_to_host() as hs:
        with sources.map_to_host() as hr, places.map_to_host() as hp:
            var next = List(length=experts + 1, fill=0)
            for i in range(count):
                next[Int(hc[i]) + 1] += 1
            for expert in range(experts):
                next[expert + 1] += next[expert]
            for expert in range(experts + 1):
                wrong += Int(Int(hs[expert]) != next[expert])
            for i in range(count):
                var place = next[Int(hc[i])]
                next[Int(hc[i])] += 1
                wrong += Int(Int(hp[i]) != place)
                if place < count:
                    wrong += Int(Int(hr[place]) != i // top)
    report.check(
        String(
            "sort ",
            tokens,
            " tokens, ",
            top,
            " of ",
            experts,
            " experts each",
            "" if only < 0 else ", all of one",
        ),
        wrong,
        "wrong places",
    )


def check_combine(
    mut report: Report, ctx: DeviceContext, tokens: Int, features: Int, top: Int
) raises:
    var count = tokens * top
    var rows = random(ctx, count * features, 7)
    var weights = ctx.enqueue_create_buffer[DType.float32](max(count, 1))
    var places = ctx.enqueue_create_buffer[DType.uint32](max(count, 1))
    var y = ctx.enqueue_create_buffer[DType.bfloat16](max(tokens * features, 1))
    with weights.map_to_host() as hw, places.map_to_host() as hp:
        for i in range(count):
            hw[i] = Float32(i % 7) / 8
            hp[i] = UInt32(count - 1 - i)
    combine(
        y.unsafe_ptr().as_unsafe_any_origin(),
        rows.unsafe_ptr().as_unsafe_any_origin(),
        places.unsafe_ptr().as_unsafe_any_origin(),
        weights.unsafe_ptr().as_unsafe_any_origin(),
        tokens=tokens,
        features=features,
        top=top,
        ctx=ctx,
    )
    var wrong = 0
    with rows.map_to_host() as hr, y.map_to_host() as hy:
        for token in range(tokens):
            for i in range(features):
                var sum = Float64(0)
                for pick in range(top):
                    var at = token * top + pick
                    sum += (
                        Float64(at % 7)
                        / 8
                        * hr[(count - 1 - at) * features + i].cast[
                            DType.float64
                        ]()
                    )
                var got = hy[token * features + i].cast[DType.float64]()
                wrong += Int(not (abs(got - sum) <= abs(sum) / 256 + 1e-6))
    report.check(
        String("combine ", tokens, " tokens of ", features, " features"),
        wrong,
        "wrong sums",
    )


def main() raises:
    var report = Report()
    if not has_hopper():
        report.skipped("routing", NEEDS_HOPPER)
        return
    var ctx = DeviceContext()
    for tokens in [0, 1, 7, 64, 257, 300]:
        check_route(report, ctx, tokens, 288, 32, 4)
    check_route(report, ctx, 3, 2880, 128, 4)
    check_route(report, ctx, 260, 64, 5, 3)
    check_route(report, ctx, 9, 32, 256, 8)
    check_route(report, ctx, 5, 32, 32, 4, ties=True)
    for tokens in [0, 1, 8, 64, 300, 8192]:
        check_sort(report, ctx, tokens, 32, 4)
    check_sort(report, ctx, 4097, 128, 4)
    check_sort(report, ctx, 100, 1, 1)
    check_sort(report, ctx, 1000, 256, 8)
    check_sort(report, ctx, 500, 32, 4, only=31)
    for tokens in [0, 1, 65]:
        check_combine(report, ctx, tokens, 2880, 4)
    check_combine(report, ctx, 3, 32, 1)
    report.finish()
