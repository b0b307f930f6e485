"""Routing on a Hopper GPU, against plain sums in float64: the chosen experts and their shares, the order of the rows, and
the weighted sum.
"""

from std.math import exp, isnan
from std.memory import Pointer

from max.gpu import global_idx
from max.gpu.host import DeviceBuffer, DeviceContext

from harness import (
    NEEDS_HOPPER,
    Report,
    fill_values,
    has_hopper,
    hash32,
    smallest_only,
)
from max.gpu.primitives.grid_controls import PDLLevel, pdl_launch_attributes
from mxfp4.ptx import grid_release, grid_wait, sleep
from mxfp4.moe.combine import combine
from mxfp4.moe.router import route
from mxfp4.moe.router_few import route_few
from mxfp4.moe.sort import sort_rows
from mxfp4.moe.schedule import COUNTERS

comptime BF16 = Pointer[BFloat16, MutAnyOrigin]

comptime RANDOM = 0
"""Any numbers: sums are not exact."""
comptime WHOLE = 1
"""Small whole numbers: sums are exact, and with few features many are equal."""
comptime ALIKE = 2
"""No token prefers any expert."""
comptime BROKEN_EXPERT = 3
"""The last feature of an expert in the middle is not a number."""
comptime BROKEN_TOKEN = 4
"""The last feature of a token in the middle is not a number."""
comptime SPARE = 64
"""Values behind the end of a result, which must stay as they are."""


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


def make_whole(target: BF16, count: UInt64, seed: UInt32):
    """Kernel, one thread a value: whole numbers from -3 to 3."""
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = BFloat16(Int(hash32(seed, UInt32(i)) % 7) - 3)


def break_value(target: BF16, at: UInt64):
    """Kernel, one thread: make a value no number."""
    target[unsafe_offset=Int(at)] = (Float32(0) / Float32(0)).cast[
        DType.bfloat16
    ]()


def plain_logits(
    logits: Pointer[Float64, MutAnyOrigin],
    x: BF16,
    router: BF16,
    bias: BF16,
    count: UInt64,
    features: UInt32,
    experts: UInt32,
):
    """Kernel, one thread a logit: the sum in float64, feature by feature."""
    var i = Int(global_idx.x)
    if i < Int(count):
        var token = i // Int(experts)
        var expert = i % Int(experts)
        var sum = bias[unsafe_offset=expert].cast[DType.float64]()
        for at in range(Int(features)):
            sum += (
                x[unsafe_offset=token * Int(features) + at].cast[
                    DType.float64
                ]()
                * router[unsafe_offset=expert * Int(features) + at].cast[
                    DType.float64
                ]()
            )
        logits[unsafe_offset=i] = sum


def wrong_route(
    ctx: DeviceContext,
    tokens: Int,
    features: Int,
    experts: Int,
    top: Int,
    inputs: Int,
    few: Bool,
) raises -> Int:
    """How many choices and shares are wrong; with `few`, of the kernel for few tokens, however many there are."""
    var x = random(ctx, tokens * features, 1)
    var router = random(ctx, experts * features, 2)
    var bias = random(ctx, experts, 3)
    var to_x = x.unsafe_ptr().as_unsafe_any_origin()
    var to_router = router.unsafe_ptr().as_unsafe_any_origin()
    var to_bias = bias.unsafe_ptr().as_unsafe_any_origin()
    if inputs == WHOLE:
        for which in range(3):
            var count = len([x, router, bias][which])
            ctx.enqueue_function[make_whole](
                [to_x, to_router, to_bias][which],
                UInt64(count),
                UInt32(which + 1),
                grid_dim=(count + 255) // 256,
                block_dim=256,
            )
    elif inputs == ALIKE:
        router.enqueue_fill(0)
        bias.enqueue_fill(1)
    elif inputs == BROKEN_EXPERT or inputs == BROKEN_TOKEN:
        var rows = experts if inputs == BROKEN_EXPERT else tokens
        ctx.enqueue_function[break_value](
            to_router if inputs == BROKEN_EXPERT else to_x,
            UInt64((rows // 2 + 1) * features - 1),
            grid_dim=1,
            block_dim=1,
        )
    # The router is read before the kernel in front has ended; those above wrote it.
    ctx.synchronize()
    var chosen = ctx.enqueue_create_buffer[DType.int32](tokens * top + SPARE)
    var weights = ctx.enqueue_create_buffer[DType.float32](tokens * top + SPARE)
    chosen.enqueue_fill(-7)
    weights.enqueue_fill(-7)
    if few:
        route_few(
            chosen.unsafe_ptr().as_unsafe_any_origin(),
            weights.unsafe_ptr().as_unsafe_any_origin(),
            to_x,
            to_router,
            to_bias,
            tokens=tokens,
            features=features,
            experts=experts,
            top=top,
            ctx=ctx,
        )
    else:
        route(
            chosen.unsafe_ptr().as_unsafe_any_origin(),
            weights.unsafe_ptr().as_unsafe_any_origin(),
            to_x,
            to_router,
            to_bias,
            tokens=tokens,
            features=features,
            experts=experts,
            top=top,
            ctx=ctx,
        )
    var count = tokens * experts
    var logits = ctx.enqueue_create_buffer[DType.float64](max(count, 1))
    ctx.enqueue_function[plain_logits](
        logits.unsafe_ptr().as_unsafe_any_origin(),
        to_x,
        to_router,
        to_bias,
        UInt64(count),
        UInt32(features),
        UInt32(experts),
        grid_dim=max((count + 255) // 256, 1),
        block_dim=256,
    )
    # Sums in float32 may differ by this much. Logits of 2880 random features reach some hundreds.
    var tolerance = Float64(4e-3 if features > 1000 else 1e-3)
    var exact = inputs == WHOLE or inputs == ALIKE
    if exact:
        tolerance = 1e-5
    var wrong = 0
    with logits.map_to_host() as all, chosen.map_to_host() as hc:
        with weights.map_to_host() as hw:
            for i in range(tokens * top, tokens * top + SPARE):
                wrong += Int(hc[i] != -7) + Int(hw[i] != -7)
            for token in range(tokens):
                var logit = List(length=experts, fill=Float64(0))
                var broken = False
                for expert in range(experts):
                    logit[expert] = all[token * experts + expert]
                    broken = broken or isnan(logit[expert])
                var taken = List(length=experts, fill=False)
                var total = Float64(0)
                for pick in range(top):
                    var expert = Int(hc[token * top + pick])
                    if expert < 0 or expert >= experts or taken[expert]:
                        # Nothing about this token means anything then.
                        wrong += top
                        total = -1
                        break
                    taken[expert] = True
                    total += exp(logit[expert] - logit[Int(hc[token * top])])
                if total == -1:
                    continue
                if broken:
                    # It comes first and spoils all shares, and is so not lost.
                    wrong += Int(not isnan(logit[Int(hc[token * top])]))
                    for pick in range(top):
                        wrong += Int(not isnan(hw[token * top + pick]))
                    continue
                taken = List(length=experts, fill=False)
                for pick in range(top):
                    var expert = Int(hc[token * top + pick])
                    taken[expert] = True
                    # No expert left out is likelier, and of equals the lower number is first.
                    for other in range(experts):
                        if not taken[other]:
                            if exact:
                                wrong += Int(
                                    logit[other] > logit[expert]
                                    or (
                                        logit[other] == logit[expert]
                                        and other < expert
                                    )
                                )
                            else:
                                wrong += Int(
                                    logit[other] > logit[expert] + tolerance
                                )
                    var share = (
                        exp(logit[expert] - logit[Int(hc[token * top])]) / total
                    )
                    var got = hw[token * top + pick].cast[DType.float64]()
                    wrong += Int(not (abs(got - share) <= tolerance))
    _ = x^
    _ = router^
    _ = bias^
    return wrong


def check_route(
    mut report: Report,
    ctx: DeviceContext,
    tokens: Int,
    experts: Int,
    top: Int,
    features: List[Int],
    inputs: Int,
    few: Bool = False,
) raises:
    """Every token's experts, for each number of features; with `few`, of the kernel for few tokens."""
    var wrong = 0
    var spots = String()
    for count in features:
        var here = wrong_route(ctx, tokens, count, experts, top, inputs, few)
        wrong += here
        if here > 0:
            spots += String(" (", here, " with ", count, " features)")
    report.check(
        String(
            "route few " if few else "route ",
            tokens,
            " tokens to ",
            top,
            " of ",
            experts,
            " experts, ",
            [
                "random",
                "whole numbers",
                "all alike",
                "an expert not a number",
                "a token not a number",
            ][inputs],
        ),
        wrong,
        String("wrong choices or shares", spots),
    )


def check_same(
    mut report: Report, ctx: DeviceContext, tokens: Int, experts: Int
) raises:
    """The same input gives the same bits."""
    comptime FEATURES = 2880
    comptime TOP = 4
    var x = random(ctx, tokens * FEATURES, 1)
    var router = random(ctx, experts * FEATURES, 2)
    var bias = random(ctx, experts, 3)
    # As above.
    ctx.synchronize()
    var chosen = ctx.enqueue_create_buffer[DType.int32](2 * tokens * TOP)
    var weights = ctx.enqueue_create_buffer[DType.float32](2 * tokens * TOP)
    for time in range(2):
        route(
            chosen.unsafe_ptr()
            .unsafe_offset(time * tokens * TOP)
            .as_unsafe_any_origin(),
            weights.unsafe_ptr()
            .unsafe_offset(time * tokens * TOP)
            .as_unsafe_any_origin(),
            x.unsafe_ptr().as_unsafe_any_origin(),
            router.unsafe_ptr().as_unsafe_any_origin(),
            bias.unsafe_ptr().as_unsafe_any_origin(),
            tokens=tokens,
            features=FEATURES,
            experts=experts,
            top=TOP,
            ctx=ctx,
        )
    var wrong = 0
    with chosen.map_to_host() as hc, weights.map_to_host() as hw:
        for i in range(tokens * TOP):
            wrong += Int(hc[i] != hc[tokens * TOP + i])
            wrong += Int(hw[i] != hw[tokens * TOP + i])
    report.check(
        String("route ", tokens, " tokens of ", experts, " experts twice"),
        wrong,
        "different values",
    )
    _ = x^
    _ = router^
    _ = bias^


def write_late(target: BF16, count: UInt64, seed: UInt32):
    """Kernel, one thread a value: `fill_values`, long after the kernel behind was allowed to begin."""
    grid_wait()
    grid_release()
    sleep(20_000)
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = (
            Float32(Int32(hash32(seed, UInt32(i)))) * Float32(1.0 / (1 << 30))
        ).cast[DType.bfloat16]()


def check_overlap(
    mut report: Report, ctx: DeviceContext, tokens: Int, experts: Int
) raises:
    """Tokens that come late, in the same place again and again, are routed and sorted as if every kernel waited."""
    comptime FEATURES = 2880
    comptime TOP = 4
    comptime ROUNDS = 12
    var count = tokens * FEATURES
    var rows = tokens * TOP
    var x = random(ctx, count, 1)
    var router = random(ctx, experts * FEATURES, 2)
    var bias = random(ctx, experts, 3)
    # Those of all rounds, then those of all rounds one after the other.
    var chosen = ctx.enqueue_create_buffer[DType.int32](2 * ROUNDS * rows)
    var weights = ctx.enqueue_create_buffer[DType.float32](2 * ROUNDS * rows)
    var places = ctx.enqueue_create_buffer[DType.uint32](2 * ROUNDS * rows)
    var sources = ctx.enqueue_create_buffer[DType.uint32](rows)
    var starts = ctx.enqueue_create_buffer[DType.uint32](experts + 1)
    var counters = ctx.enqueue_create_buffer[DType.uint32](COUNTERS)
    var to_x = x.unsafe_ptr().as_unsafe_any_origin()
    chosen.enqueue_fill(-7)
    ctx.synchronize()
    for run in range(2 * ROUNDS):
        ctx.enqueue_function[write_late](
            to_x,
            UInt64(count),
            UInt32(100 + run % ROUNDS),
            grid_dim=(count + 255) // 256,
            block_dim=256,
            attributes=pdl_launch_attributes(PDLLevel.ON),
        )
        if run >= ROUNDS:
            ctx.synchronize()
        var to_chosen = (
            chosen.unsafe_ptr().unsafe_offset(run * rows).as_unsafe_any_origin()
        )
        route(
            to_chosen,
            weights.unsafe_ptr()
            .unsafe_offset(run * rows)
            .as_unsafe_any_origin(),
            to_x,
            router.unsafe_ptr().as_unsafe_any_origin(),
            bias.unsafe_ptr().as_unsafe_any_origin(),
            tokens=tokens,
            features=FEATURES,
            experts=experts,
            top=TOP,
            ctx=ctx,
        )
        if run >= ROUNDS:
            ctx.synchronize()
        sort_rows(
            starts.unsafe_ptr().as_unsafe_any_origin(),
            counters.unsafe_ptr().as_unsafe_any_origin(),
            sources.unsafe_ptr().as_unsafe_any_origin(),
            places.unsafe_ptr()
            .unsafe_offset(run * rows)
            .as_unsafe_any_origin(),
            to_chosen,
            tokens=tokens,
            experts=experts,
            top=TOP,
            ctx=ctx,
        )
        if run >= ROUNDS:
            ctx.synchronize()
    var wrong = 0
    var changed = 0
    with chosen.map_to_host() as hc, weights.map_to_host() as hw:
        with places.map_to_host() as hp:
            for i in range(ROUNDS * rows):
                wrong += Int(hc[i] != hc[ROUNDS * rows + i])
                wrong += Int(hw[i] != hw[ROUNDS * rows + i])
                wrong += Int(hp[i] != hp[ROUNDS * rows + i])
                changed += Int(i >= rows and hw[i] != hw[i - rows])
    # Rounds differ, or nothing would be seen of one that came too early.
    wrong += Int(changed == 0)
    report.check(
        String(
            "route and sort ", tokens, " late tokens of ", experts, " experts"
        ),
        wrong,
        "values of other tokens",
    )
    _ = x^
    _ = router^
    _ = bias^


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
    var counters = ctx.enqueue_create_buffer[DType.uint32](COUNTERS)
    var sources = ctx.enqueue_create_buffer[DType.uint32](max(count, 1))
    var places = ctx.enqueue_create_buffer[DType.uint32](max(count, 1))
    starts.enqueue_fill(7)
    counters.enqueue_fill(7)
    with chosen.map_to_host() as host:
        for i in range(count):
            host[i] = Int32(
                only if only >= 0 else Int(hash32(5, UInt32(i))) % experts
            )
    sort_rows(
        starts.unsafe_ptr().as_unsafe_any_origin(),
        counters.unsafe_ptr().as_unsafe_any_origin(),
        sources.unsafe_ptr().as_unsafe_any_origin(),
        places.unsafe_ptr().as_unsafe_any_origin(),
        chosen.unsafe_ptr().as_unsafe_any_origin(),
        tokens=tokens,
        experts=experts,
        top=top,
        ctx=ctx,
    )
    var wrong = 0
    with counters.map_to_host() as host:
        for i in range(COUNTERS):
            wrong += Int(host[i] != 0)
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
    var y = ctx.enqueue_create_buffer[DType.bfloat16](tokens * features + SPARE)
    y.enqueue_fill(-7)
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
        for i in range(tokens * features, tokens * features + SPARE):
            wrong += Int(hy[i] != -7)
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
        String(
            "combine ",
            top,
            " rows a token, ",
            tokens,
            " tokens of ",
            features,
            " features",
        ),
        wrong,
        "wrong sums",
    )


def main() raises:
    var report = Report()
    if not has_hopper():
        report.skipped("routing", NEEDS_HOPPER)
        return
    var ctx = DeviceContext()
    var features: List[Int] = [8, 24, 64, 288, 936, 2880]
    var some: List[Int] = [24, 672, 744]
    if smallest_only():
        for tokens in [1, 9, 260]:
            for experts in [12, 32, 128]:
                check_route(report, ctx, tokens, experts, 4, some, RANDOM)
            check_sort(report, ctx, tokens, 32, 4)
            check_combine(report, ctx, tokens, 96, 4)
        check_sort(report, ctx, 1000, 256, 8)
        check_overlap(report, ctx, 8, 32)
        check_overlap(report, ctx, 300, 128)
        report.finish()
        return
    for tokens in [0, 1, 7, 8, 9, 64, 65, 128, 129, 256, 257, 300, 1000, 8192]:
        for experts in [8, 12, 32, 128, 256]:
            for inputs in [RANDOM, WHOLE]:
                check_route(report, ctx, tokens, experts, 4, features, inputs)
    for tokens in [300, 1000]:
        for experts in [12, 32, 128, 256]:
            check_route(report, ctx, tokens, experts, 4, some, RANDOM, few=True)
            check_route(report, ctx, tokens, experts, 4, some, WHOLE, few=True)
    for tokens in [9, 141, 260, 321]:
        check_route(report, ctx, tokens, 1, 1, some, RANDOM)
        check_route(report, ctx, tokens, 5, 3, some, RANDOM)
        check_route(report, ctx, tokens, 33, 8, some, WHOLE)
        check_route(report, ctx, tokens, 129, 2, some, WHOLE)
        for experts in [8, 32, 100, 256]:
            check_route(report, ctx, tokens, experts, 8, some, ALIKE)
            check_route(report, ctx, tokens, experts, 4, some, BROKEN_EXPERT)
            check_route(report, ctx, tokens, experts, 4, some, BROKEN_TOKEN)
    for tokens in [1, 100, 256, 1000]:
        for experts in [32, 128, 256]:
            check_same(report, ctx, tokens, experts)
    for tokens in [1, 8, 100, 200, 300]:
        for experts in [32, 128]:
            check_overlap(report, ctx, tokens, experts)
    for tokens in [0, 1, 8, 64, 255, 256, 257, 300, 8192, 20000]:
        check_sort(report, ctx, tokens, 32, 4)
    check_sort(report, ctx, 4097, 128, 4)
    check_sort(report, ctx, 100, 1, 1)
    check_sort(report, ctx, 1000, 256, 8)
    check_sort(report, ctx, 8191, 256, 7)
    check_sort(report, ctx, 500, 32, 4, only=31)
    check_sort(report, ctx, 9000, 32, 4, only=0)
    for tokens in [0, 1, 65]:
        check_combine(report, ctx, tokens, 2880, 4)
    for count in [8, 32, 1016, 1024, 1032]:
        check_combine(report, ctx, 3, count, 4)
    for top in range(1, 9):
        check_combine(report, ctx, 300, 96, top)
    report.finish()
