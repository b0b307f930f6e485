"""Time what stands around the two products of an expert layer, each kernel alone, on GPT-OSS shapes.

    bench_routing [--tokens 1,8,...] [--experts 32,128]

Prints a table of microseconds: medians of 20 replays of a device graph of one kernel, L2 flushed before, as events on the
device give them. `few` and `many` are the router's two kernels, whichever of them `route` would take; it takes `many`
where the line has a star. `both` is the graph of the router that it takes and the sort behind it.

`chain` is no graph: eight times the tokens are made by a kernel, as the norm before them would, routed and sorted, each time
with another router, and enqueued as a step enqueues them, so that launches may overlap. It is the time of one of the eight;
`made` is that of the kernel that makes the tokens alone, taken likewise.
"""

from std.sys import argv

from bench_grouped_matmul import (
    Batch,
    FLUSH_BYTES,
    HIDDEN,
    SAMPLES,
    TOP,
    numbers,
    times,
    values,
)
from harness import NEEDS_HOPPER, has_hopper
from max.gpu import global_idx
from max.gpu.host import (
    DeviceBuffer,
    DeviceContext,
    DeviceGraph,
    DeviceGraphBuilder,
)
from max.gpu.primitives.grid_controls import (
    PDL,
    PDLLevel,
    pdl_launch_attributes,
)
from mxfp4.pointers import BF16
from mxfp4.moe.router import route, route_wide
from mxfp4.moe.sort import sort_rows

comptime ROUNDS = 8
"""Layers of a chain."""
comptime AHEAD = 6
"""Flushes before a chain: the host enqueues all of it in the time that they take."""


def print_row(cells: List[String]):
    """Print cells of nine characters, right-aligned."""
    var line = String()
    for cell in cells:
        line += " " * max(10 - cell.byte_length(), 1) + cell
    print(line, flush=True)


def one_digit(microseconds: Float64) -> String:
    var tenths = Int(microseconds * 10 + 0.5)
    return String(tenths // 10, ".", tenths % 10)


def cell(
    ctx: DeviceContext, graph: DeviceGraph, flush: DeviceBuffer[DType.uint8]
) raises -> String:
    """The median time."""
    return one_digit(times(ctx, graph, flush)[SAMPLES // 2])


def make_tokens(target: BF16, source: BF16, count: UInt64):
    """Kernel, one thread a value: copy tokens, and let the kernel behind begin as MAX's do."""
    with PDL():
        var i = Int(global_idx.x)
        if i < Int(count):
            target[unsafe_offset=i] = source[unsafe_offset=i]


def chain_cell(
    ctx: DeviceContext,
    batch: Batch,
    routers: DeviceBuffer[DType.bfloat16],
    flush: DeviceBuffer[DType.uint8],
    routed: Bool,
) raises -> String:
    """The median time of one round of a chain; without `routed` nothing but the tokens is made."""

    var made = (
        batch.y.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
    )
    var x = batch.x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
    var router = (
        routers.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
    )
    var bias = (
        batch.router_bias.unsafe_ptr()
        .unsafe_mut_cast[True]()
        .as_unsafe_any_origin()
    )
    var chosen = (
        batch.chosen.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
    )
    var shares = (
        batch.shares.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
    )
    var starts = (
        batch.starts.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
    )
    var counters = (
        batch.counters.unsafe_ptr()
        .unsafe_mut_cast[True]()
        .as_unsafe_any_origin()
    )
    var sources = (
        batch.sources.unsafe_ptr()
        .unsafe_mut_cast[True]()
        .as_unsafe_any_origin()
    )
    var places = (
        batch.places.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
    )
    var count = len(batch.x)

    def chain() raises {imm}:
        for round in range(ROUNDS):
            ctx.enqueue_function[make_tokens](
                made,
                x,
                UInt64(count),
                grid_dim=(count + 255) // 256,
                block_dim=256,
                attributes=pdl_launch_attributes(PDLLevel.ON),
            )
            if not routed:
                continue
            route(
                chosen,
                shares,
                made,
                router.unsafe_offset(round * batch.experts * HIDDEN),
                bias,
                tokens=batch.tokens,
                features=HIDDEN,
                experts=batch.experts,
                top=TOP,
                ctx=ctx,
            )
            sort_rows(
                starts,
                counters,
                sources,
                places,
                chosen,
                tokens=batch.tokens,
                experts=batch.experts,
                top=TOP,
                ctx=ctx,
            )

    chain()
    ctx.synchronize()
    var result = List[Float64]()
    for _ in range(SAMPLES):
        for i in range(AHEAD):
            flush.enqueue_fill(UInt8(i))
        result.append(Float64(ctx.execution_time(chain, 1)) / 1e3 / ROUNDS)
    sort(result)
    return one_digit(result[SAMPLES // 2])


def bench(
    ctx: DeviceContext,
    tokens: Int,
    experts: Int,
    flush: DeviceBuffer[DType.uint8],
) raises:
    """Print one line."""
    var batch = Batch(ctx, tokens, experts, False)
    var routers = values(ctx, ROUNDS * experts * HIDDEN, 9)
    var wide = route_wide(tokens)

    def few(mut builder: DeviceGraphBuilder) raises {imm}:
        _ = batch.add_route(builder, False)

    def many(mut builder: DeviceGraphBuilder) raises {imm}:
        _ = batch.add_route(builder, True)

    def order(mut builder: DeviceGraphBuilder) raises {imm}:
        _ = batch.add_sort(builder, [])

    def both(mut builder: DeviceGraphBuilder) raises {imm}:
        _ = batch.add_sort(builder, [batch.add_route(builder, wide)])

    def combine(mut builder: DeviceGraphBuilder) raises {imm}:
        _ = batch.add_combine(builder, [])

    print_row(
        [
            String(experts),
            String(tokens),
            cell(ctx, DeviceGraph.create(ctx, few), flush),
            cell(ctx, DeviceGraph.create(ctx, many), flush)
            + ("*" if wide else " "),
            cell(ctx, DeviceGraph.create(ctx, order), flush),
            cell(ctx, DeviceGraph.create(ctx, both), flush),
            cell(ctx, DeviceGraph.create(ctx, combine), flush),
            chain_cell(ctx, batch, routers, flush, True),
            chain_cell(ctx, batch, routers, flush, False),
        ]
    )


def main() raises:
    var tokens: List[Int] = [1, 8, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
    var experts: List[Int] = [32, 128]
    var arguments = argv()
    for i in range(1, len(arguments) - 1, 2):
        var name = String(arguments[i])
        var value = String(arguments[i + 1])
        if name == "--tokens":
            tokens = numbers(value)
        elif name == "--experts":
            experts = numbers(value)
        else:
            raise Error("unknown option ", name)
    if not has_hopper():
        raise Error(NEEDS_HOPPER)
    var ctx = DeviceContext()
    var flush = ctx.enqueue_create_buffer[DType.uint8](FLUSH_BYTES)
    print_row(
        [
            "experts",
            "tokens",
            "few",
            "many ",
            "sort",
            "both",
            "combine",
            "chain",
            "made",
        ]
    )
    for some in experts:
        for count in tokens:
            bench(ctx, count, some, flush)
