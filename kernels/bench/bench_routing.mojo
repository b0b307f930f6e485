"""Time what stands around the two products of an expert layer, each kernel alone, on GPT-OSS shapes.

    bench_routing [--tokens 1,8,...] [--experts 32,128]

Prints a table of microseconds: medians of 20 replays of a device graph of one kernel, L2 flushed before, as events on the
device give them. `few` and `many` are the router's two kernels, whichever of them `route` would take; it takes `many`
where the line has a star. `both` is the graph of the router that it takes and the sort behind it.
"""

from std.sys import argv

from bench_grouped_matmul import (
    Batch,
    FLUSH_BYTES,
    SAMPLES,
    numbers,
    times,
)
from harness import NEEDS_HOPPER, has_hopper
from max.gpu.host import (
    DeviceBuffer,
    DeviceContext,
    DeviceGraph,
    DeviceGraphBuilder,
)
from mxfp4.routing import route_wide


def print_row(cells: List[String]):
    """Print cells of nine characters, right-aligned."""
    var line = String()
    for cell in cells:
        line += " " * max(10 - cell.byte_length(), 1) + cell
    print(line, flush=True)


def cell(
    ctx: DeviceContext, graph: DeviceGraph, flush: DeviceBuffer[DType.uint8]
) raises -> String:
    """The median time, with one digit behind the point."""
    var tenths = Int(times(ctx, graph, flush)[SAMPLES // 2] * 10 + 0.5)
    return String(tenths // 10, ".", tenths % 10)


def bench(
    ctx: DeviceContext,
    tokens: Int,
    experts: Int,
    flush: DeviceBuffer[DType.uint8],
) raises:
    """Print one line."""
    var batch = Batch(ctx, tokens, experts, False)
    var wide = route_wide(tokens)

    def few(mut builder: DeviceGraphBuilder) raises {imm}:
        _ = batch.add_route(builder, False)

    def many(mut builder: DeviceGraphBuilder) raises {imm}:
        _ = batch.add_route(builder, True)

    def sort(mut builder: DeviceGraphBuilder) raises {imm}:
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
            cell(ctx, DeviceGraph.create(ctx, sort), flush),
            cell(ctx, DeviceGraph.create(ctx, both), flush),
            cell(ctx, DeviceGraph.create(ctx, combine), flush),
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
    print_row(["experts", "tokens", "few", "many ", "sort", "both", "combine"])
    for some in experts:
        for count in tokens:
            bench(ctx, count, some, flush)
