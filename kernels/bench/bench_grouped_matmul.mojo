"""Time the expert layer on GPT-OSS shapes, and the limits of the GPU beside it.

    bench_grouped_matmul [--tokens 1,2,...] [--experts 32] [--routing balanced]

Prints one JSON object a line: first `limit`s, then a row for each case. A time is that of one replay of a device graph,
L2 flushed before, as events on the device give it: median, 10th and 90th percentile of 20. `bytes` are the packed
weights of the experts that have tokens, `flop` counts the routed rows.

`gate_up` gathers its rows and ends in SwiGLU, `down` ends in the bias, and `layer` is all from the router to the weighted
sum.

Routing: every token takes 4 experts, `balanced`: at random; `skewed`: experts 0 and 1 and two at random, so that half of
the rows go to two experts.
"""

from std.sys import argv

from layout import TileTensor, row_major
from linalg.matmul import matmul
from max.gpu import block_dim, global_idx, grid_dim
from max.gpu.host import (
    DeviceAttribute,
    DeviceBuffer,
    DeviceContext,
    DeviceGraph,
    DeviceGraphBuilder,
    Dim,
    FuncAttribute,
)
from std.memory import Pointer

from harness import NEEDS_HOPPER, fill_values, has_hopper, hash32
from mxfp4.moe.grouped_matmul.config import (
    BIAS,
    Config,
    SWIGLU,
    WIDTHS,
    least_row_tiles,
)
from mxfp4.moe.grouped_matmul.kernel import grouped_matmul_kernel
from mxfp4.moe.grouped_matmul.launch import tile_tokens, unit_row_tiles
from mxfp4.moe.grouped_matmul.shared_memory import SharedMemory
from mxfp4.layout import CODE_WORDS, TILE_WORDS, packed_words
from mxfp4.moe.router_few import (
    FEW_BLOCKS,
    FEW_THREADS,
    few_blocks,
    few_tokens,
    route_few_kernel,
)
from mxfp4.moe.router_many import RouteShape, route_columns, route_many_kernel
from mxfp4.moe.combine import COMBINE_THREADS, combine_blocks, combine_kernel
from mxfp4.moe.router import route, route_wide
from mxfp4.moe.sort import SORT_THREADS, sort_blocks, sort_kernel, sort_rows
from mxfp4.moe.schedule import COUNTERS
from mxfp4.moe.top_experts import MAX_EXPERTS
from mxfp4.pointers import BF16, Bytes

comptime TOP = 4
comptime HIDDEN = 2880
comptime SAMPLES = 20
comptime FLUSH_BYTES = 128 << 20
comptime READ_BYTES = 4 << 30
comptime DENSE = 8192
"""Rows, columns and depth of the dense matmul that serves as a limit."""

comptime Wide = Pointer[SIMD[DType.uint32, 4], MutAnyOrigin]


def fill_weights(target: Bytes, count: UInt64):
    """Random codes, and scales from 2^-8 to 2^-6."""
    var i = Int(global_idx.x)
    if i < Int(count):
        var bits = hash32(1, UInt32(i))
        var code = i % (TILE_WORDS * 4) < CODE_WORDS * 4
        target[unsafe_offset=i] = UInt8(bits & 255 if code else 119 + bits % 3)


def read(source: Wide, result: Pointer[UInt32, MutAnyOrigin], count: UInt64):
    """Read everything, eight loads under way a thread."""
    var stride = Int(grid_dim.x) * Int(block_dim.x)
    var at = Int(global_idx.x)
    var all = SIMD[DType.uint32, 4](0)
    while at + 7 * stride < Int(count):
        comptime for i in range(8):
            all |= source[unsafe_offset=at + i * stride]
        at += 8 * stride
    # Never so, but the compiler cannot know.
    if all[0] == 1 and all[1] == 2 and all[2] == 3 and all[3] == 4:
        result[] = 1


def values(
    ctx: DeviceContext, count: Int, seed: UInt32
) raises -> DeviceBuffer[DType.bfloat16]:
    var buffer = ctx.enqueue_create_buffer[DType.bfloat16](count)
    ctx.enqueue_function[fill_values](
        buffer.unsafe_ptr().as_unsafe_any_origin(),
        UInt64(count),
        seed,
        grid_dim=(count + 255) // 256,
        block_dim=256,
    )
    return buffer^


def print_limits(ctx: DeviceContext) raises:
    var processors = ctx.get_attribute(DeviceAttribute.MULTIPROCESSOR_COUNT)
    var memory = ctx.enqueue_create_buffer[DType.uint8](READ_BYTES)
    memory.enqueue_fill(0)
    var result = ctx.enqueue_create_buffer[DType.uint32](1)
    var source = (
        memory.unsafe_ptr()
        .unsafe_bitcast[SIMD[DType.uint32, 4]]()
        .as_unsafe_any_origin()
    )
    var target = result.unsafe_ptr().as_unsafe_any_origin()

    def read_all() raises {imm}:
        ctx.enqueue_function[read](
            source,
            target,
            UInt64(READ_BYTES // 16),
            grid_dim=Int(processors) * 4,
            block_dim=512,
        )

    read_all()
    var fastest = ctx.execution_time(read_all, 1)
    for _ in range(9):
        fastest = min(fastest, ctx.execution_time(read_all, 1))
    print(
        '{"limit": "read", "gbs": ',
        Float64(READ_BYTES) / Float64(fastest),
        "}",
        sep="",
    )
    _ = memory^

    comptime layout = row_major[DENSE, DENSE]()
    var a = values(ctx, DENSE * DENSE, 11)
    var b = values(ctx, DENSE * DENSE, 12)
    var c = ctx.enqueue_create_buffer[DType.bfloat16](DENSE * DENSE)
    var a_tensor = TileTensor(a, layout)
    var b_tensor = TileTensor(b, layout)
    var c_tensor = TileTensor(c, layout)

    def multiply() raises {imm}:
        matmul[transpose_b=True, target="gpu"](
            c_tensor, a_tensor, b_tensor, ctx
        )

    multiply()
    fastest = ctx.execution_time(multiply, 1)
    for _ in range(9):
        fastest = min(fastest, ctx.execution_time(multiply, 1))
    print(
        '{"limit": "matmul", "tflops": ',
        2.0 * Float64(DENSE) ** 3 / Float64(fastest) / 1e3,
        "}",
        sep="",
    )


def chosen_experts(tokens: Int, experts: Int, skewed: Bool) -> List[List[Int]]:
    """The experts of each token: those with the highest hashes."""
    var chosen = List[List[Int]]()
    for token in range(tokens):
        var taken = List[Int]()
        if skewed:
            taken.append(0)
            taken.append(1)
        while len(taken) < TOP:
            var best = -1
            var highest = UInt32(0)
            for expert in range(experts):
                var draw = hash32(UInt32(token) + 77, UInt32(expert))
                if (best < 0 or draw > highest) and expert not in taken:
                    best = expert
                    highest = draw
            taken.append(best)
        chosen.append(taken^)
    return chosen^


def fill_tokens(target: BF16, count: UInt64, experts: UInt32):
    """Kernel, one thread a value: random tokens, their first `experts` features zero."""
    var i = Int(global_idx.x)
    if i < Int(count):
        if i % HIDDEN < Int(experts):
            target[unsafe_offset=i] = 0
        else:
            target[unsafe_offset=i] = (
                Float32(Int32(hash32(3, UInt32(i)))) * Float32(1.0 / (1 << 30))
            ).cast[DType.bfloat16]()


@fieldwise_init
struct Projection(Copyable, Movable):
    """The buffers of one projection of the layer."""

    var n: Int
    var weights: DeviceBuffer[DType.uint8]
    var bias: DeviceBuffer[DType.bfloat16]

    def __init__(out self, ctx: DeviceContext, n: Int, experts: Int) raises:
        self.n = n
        self.weights = ctx.enqueue_create_buffer[DType.uint8](
            experts * packed_words(n, HIDDEN) * 4
        )
        ctx.enqueue_function[fill_weights](
            self.weights,
            UInt64(len(self.weights)),
            grid_dim=(len(self.weights) + 255) // 256,
            block_dim=256,
        )
        self.bias = values(ctx, experts * n, 4)

    def expert_bytes(self) -> Int:
        return packed_words(self.n, HIDDEN) * 4


struct Batch:
    """Tokens and their routing, and room for what the layer makes of them."""

    var tokens: Int
    var experts: Int
    var active: Int
    var processors: Int
    var x: DeviceBuffer[DType.bfloat16]
    var router: DeviceBuffer[DType.bfloat16]
    var router_bias: DeviceBuffer[DType.bfloat16]
    var chosen: DeviceBuffer[DType.int32]
    var shares: DeviceBuffer[DType.float32]
    var starts: DeviceBuffer[DType.uint32]
    var counters: DeviceBuffer[DType.uint32]
    var sources: DeviceBuffer[DType.uint32]
    var places: DeviceBuffer[DType.uint32]
    var ids: DeviceBuffer[DType.int32]
    var middle: DeviceBuffer[DType.bfloat16]
    var rows: DeviceBuffer[DType.bfloat16]
    var y: DeviceBuffer[DType.bfloat16]

    def __init__(
        out self, ctx: DeviceContext, tokens: Int, experts: Int, skewed: Bool
    ) raises:
        var m = tokens * TOP
        self.tokens = tokens
        self.experts = experts
        self.processors = Int(
            ctx.get_attribute(DeviceAttribute.MULTIPROCESSOR_COUNT)
        )
        self.x = ctx.enqueue_create_buffer[DType.bfloat16](tokens * HIDDEN)
        self.router = ctx.enqueue_create_buffer[DType.bfloat16](
            experts * HIDDEN
        )
        self.router_bias = ctx.enqueue_create_buffer[DType.bfloat16](experts)
        self.chosen = ctx.enqueue_create_buffer[DType.int32](m)
        self.shares = ctx.enqueue_create_buffer[DType.float32](m)
        self.starts = ctx.enqueue_create_buffer[DType.uint32](experts + 1)
        self.counters = ctx.enqueue_create_buffer[DType.uint32](COUNTERS)
        self.sources = ctx.enqueue_create_buffer[DType.uint32](m)
        self.places = ctx.enqueue_create_buffer[DType.uint32](m)
        self.ids = ctx.enqueue_create_buffer[DType.int32](experts)
        self.middle = values(ctx, m * HIDDEN, 6)
        self.rows = ctx.enqueue_create_buffer[DType.bfloat16](m * HIDDEN)
        self.y = ctx.enqueue_create_buffer[DType.bfloat16](tokens * HIDDEN)
        self.active = 0
        ctx.enqueue_function[fill_tokens](
            self.x.unsafe_ptr().as_unsafe_any_origin(),
            UInt64(len(self.x)),
            UInt32(experts),
            grid_dim=(len(self.x) + 255) // 256,
            block_dim=256,
        )
        self.router.enqueue_fill(0)
        self.router_bias.enqueue_fill(0)
        var chosen = chosen_experts(tokens, experts, skewed)
        var seen = List(length=experts, fill=False)
        # The router reads a token's wishes from its first features.
        with self.x.map_to_host() as x, self.router.map_to_host() as router:
            for expert in range(experts):
                router[expert * HIDDEN + expert] = 1
            for token in range(tokens):
                for pick in range(TOP):
                    var expert = chosen[token][pick]
                    x[token * HIDDEN + expert] = BFloat16(TOP - pick)
                    seen[expert] = True
        for expert in range(experts):
            self.active += Int(seen[expert])
        with self.ids.map_to_host() as host:
            for expert in range(experts):
                host[expert] = Int32(expert)
        # What the layer will compute, the projections alone need beforehand.
        route(
            self.chosen.unsafe_ptr().as_unsafe_any_origin(),
            self.shares.unsafe_ptr().as_unsafe_any_origin(),
            self.x.unsafe_ptr().as_unsafe_any_origin(),
            self.router.unsafe_ptr().as_unsafe_any_origin(),
            self.router_bias.unsafe_ptr().as_unsafe_any_origin(),
            tokens=tokens,
            features=HIDDEN,
            experts=experts,
            top=TOP,
            ctx=ctx,
        )
        sort_rows(
            self.starts.unsafe_ptr().as_unsafe_any_origin(),
            self.counters.unsafe_ptr().as_unsafe_any_origin(),
            self.sources.unsafe_ptr().as_unsafe_any_origin(),
            self.places.unsafe_ptr().as_unsafe_any_origin(),
            self.chosen.unsafe_ptr().as_unsafe_any_origin(),
            tokens=tokens,
            experts=experts,
            top=TOP,
            ctx=ctx,
        )

    def add_projection[
        EPILOGUE: Int, GATHER: Bool
    ](
        self,
        mut builder: DeviceGraphBuilder,
        projection: Projection,
        after: List[builder.Node],
    ) raises -> builder.Node:
        """Add gate_up (gathering, from x to middle), or down (from middle to rows)."""
        var m = self.tokens * TOP
        var wanted = tile_tokens(m, self.experts)
        var row_tiles = unit_row_tiles(
            m, projection.n, self.experts, self.processors
        )
        comptime for i in range(len(WIDTHS)):
            comptime TOKENS = WIDTHS[i]
            comptime for ROW_TILES in range(least_row_tiles(TOKENS), 3):
                if wanted == TOKENS and row_tiles == ROW_TILES:
                    comptime shared = SharedMemory[TOKENS, ROW_TILES].BYTES
                    return builder.add_function[
                        grouped_matmul_kernel[
                            TOKENS, ROW_TILES, EPILOGUE, GATHER
                        ]
                    ](
                        (self.middle if GATHER else self.rows)
                        .unsafe_ptr()
                        .as_unsafe_any_origin(),
                        (self.x if GATHER else self.middle)
                        .unsafe_ptr()
                        .as_unsafe_any_origin(),
                        self.sources.unsafe_ptr().as_unsafe_any_origin(),
                        projection.weights.unsafe_ptr().as_unsafe_any_origin(),
                        projection.bias.unsafe_ptr().as_unsafe_any_origin(),
                        self.starts.unsafe_ptr().as_unsafe_any_origin(),
                        self.ids.unsafe_ptr().as_unsafe_any_origin(),
                        UInt64(Int(self.counters.unsafe_ptr())),
                        UInt32(projection.n),
                        UInt32(HIDDEN),
                        UInt32(self.experts),
                        grid_dim=self.processors,
                        block_dim=Config[TOKENS, ROW_TILES].THREADS,
                        shared_mem_bytes=shared,
                        func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                            UInt32(shared)
                        ),
                        dependencies=after.copy(),
                    )
        raise Error("no kernel for tiles of ", wanted, " tokens")

    def add_route(
        self, mut builder: DeviceGraphBuilder, wide: Bool
    ) raises -> builder.Node:
        """Add the router, for many tokens (`wide`) or for few."""
        var chosen = self.chosen.unsafe_ptr().as_unsafe_any_origin()
        var shares = self.shares.unsafe_ptr().as_unsafe_any_origin()
        var x = self.x.unsafe_ptr().as_unsafe_any_origin()
        var router = self.router.unsafe_ptr().as_unsafe_any_origin()
        var bias = self.router_bias.unsafe_ptr().as_unsafe_any_origin()
        comptime for i in range(6):
            comptime COLUMNS = [32, 128, MAX_EXPERTS][i // 2]
            comptime TOKENS = [8, 16][i % 2]
            if (
                not wide
                and route_columns(self.experts) == COLUMNS
                and few_tokens(self.tokens) == TOKENS
            ):
                return builder.add_function[route_few_kernel[COLUMNS, TOKENS]](
                    chosen,
                    shares,
                    x,
                    router,
                    bias,
                    UInt32(self.tokens),
                    UInt32(HIDDEN),
                    UInt32(self.experts),
                    UInt32(TOP),
                    grid_dim=few_blocks(self.tokens),
                    block_dim=FEW_THREADS,
                    cluster_dim=Dim(FEW_BLOCKS, 1, 1),
                    dependencies=[],
                )
        comptime for i in range(3):
            comptime COLUMNS = [32, 128, MAX_EXPERTS][i]
            comptime Shape = RouteShape[COLUMNS]
            if route_columns(self.experts) == COLUMNS:
                return builder.add_function[route_many_kernel[COLUMNS]](
                    chosen,
                    shares,
                    x,
                    router,
                    bias,
                    UInt32(self.tokens),
                    UInt32(HIDDEN),
                    UInt32(self.experts),
                    UInt32(TOP),
                    grid_dim=(self.tokens + Shape.TOKENS - 1) // Shape.TOKENS,
                    block_dim=Shape.THREADS,
                    shared_mem_bytes=Shape.SHARED_BYTES,
                    func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                        UInt32(Shape.SHARED_BYTES)
                    ),
                    dependencies=[],
                )
        raise Error("no router for ", self.experts, " experts")

    def add_sort(
        self, mut builder: DeviceGraphBuilder, after: List[builder.Node]
    ) raises -> builder.Node:
        """Add the order of the rows."""
        return builder.add_function[sort_kernel](
            self.starts.unsafe_ptr().as_unsafe_any_origin(),
            self.counters.unsafe_ptr().as_unsafe_any_origin(),
            self.sources.unsafe_ptr().as_unsafe_any_origin(),
            self.places.unsafe_ptr().as_unsafe_any_origin(),
            self.chosen.unsafe_ptr().as_unsafe_any_origin(),
            UInt32(self.tokens * TOP),
            UInt32(self.experts),
            UInt32(TOP),
            grid_dim=sort_blocks(self.tokens * TOP),
            block_dim=SORT_THREADS,
            dependencies=after.copy(),
        )

    def add_combine(
        self, mut builder: DeviceGraphBuilder, after: List[builder.Node]
    ) raises -> builder.Node:
        """Add the weighted sum."""
        return builder.add_function[combine_kernel[TOP]](
            self.y.unsafe_ptr().as_unsafe_any_origin(),
            self.rows.unsafe_ptr().as_unsafe_any_origin(),
            self.places.unsafe_ptr().as_unsafe_any_origin(),
            self.shares.unsafe_ptr().as_unsafe_any_origin(),
            UInt32(HIDDEN),
            grid_dim=combine_blocks(self.tokens, HIDDEN),
            block_dim=COMBINE_THREADS,
            dependencies=after.copy(),
        )

    def add_layer(
        self,
        mut builder: DeviceGraphBuilder,
        gate_up: Projection,
        down: Projection,
    ) raises:
        """Add the layer: router, order, both projections, weighted sum."""
        var routed = self.add_route(builder, route_wide(self.tokens))
        var sorted = self.add_sort(builder, [routed])
        var middle = self.add_projection[SWIGLU, True](
            builder, gate_up, [sorted]
        )
        var rows = self.add_projection[BIAS, False](builder, down, [middle])
        _ = self.add_combine(builder, [rows])


def times(
    ctx: DeviceContext, graph: DeviceGraph, flush: DeviceBuffer[DType.uint8]
) raises -> List[Float64]:
    """Microseconds of each replay, ascending."""

    def replay() raises {imm}:
        graph.replay()

    replay()
    ctx.synchronize()
    var result = List[Float64]()
    for _ in range(SAMPLES):
        # While the device writes, the host gets ahead: its delays are not in the time.
        flush.enqueue_fill(0)
        flush.enqueue_fill(1)
        result.append(Float64(ctx.execution_time(replay, 1)) / 1e3)
    sort(result)
    return result^


def print_row(
    batch: Batch,
    routing: String,
    projection: String,
    times: List[Float64],
    expert_bytes: Int,
    row_flop: Int,
):
    print(
        '{"experts": ',
        batch.experts,
        ', "tokens": ',
        batch.tokens,
        ', "routing": "',
        routing,
        '", "active": ',
        batch.active,
        ', "projection": "',
        projection,
        '", "median_us": ',
        times[SAMPLES // 2],
        ', "low_us": ',
        times[SAMPLES // 10],
        ', "high_us": ',
        times[SAMPLES - 1 - SAMPLES // 10],
        ', "bytes": ',
        batch.active * expert_bytes,
        ', "flop": ',
        batch.tokens * TOP * row_flop,
        "}",
        sep="",
        flush=True,
    )


def bench(
    ctx: DeviceContext,
    experts: Int,
    tokens: List[Int],
    routings: List[String],
) raises:
    """Print the rows of one number of experts."""
    var gate_up = Projection(ctx, 2 * HIDDEN, experts)
    var down = Projection(ctx, HIDDEN, experts)
    var flush = ctx.enqueue_create_buffer[DType.uint8](FLUSH_BYTES)
    for routing in routings:
        for count in tokens:
            var batch = Batch(ctx, count, experts, routing == "skewed")

            def add_gate_up(mut builder: DeviceGraphBuilder) raises {imm}:
                _ = batch.add_projection[SWIGLU, True](builder, gate_up, [])

            def add_down(mut builder: DeviceGraphBuilder) raises {imm}:
                _ = batch.add_projection[BIAS, False](builder, down, [])

            def add_layer(mut builder: DeviceGraphBuilder) raises {imm}:
                batch.add_layer(builder, gate_up, down)

            var both = 2 * HIDDEN * (gate_up.n + down.n)
            print_row(
                batch,
                routing,
                "gate_up",
                times(ctx, DeviceGraph.create(ctx, add_gate_up), flush),
                gate_up.expert_bytes(),
                2 * HIDDEN * gate_up.n,
            )
            print_row(
                batch,
                routing,
                "down",
                times(ctx, DeviceGraph.create(ctx, add_down), flush),
                down.expert_bytes(),
                2 * HIDDEN * down.n,
            )
            print_row(
                batch,
                routing,
                "layer",
                times(ctx, DeviceGraph.create(ctx, add_layer), flush),
                gate_up.expert_bytes() + down.expert_bytes(),
                both,
            )


def numbers(text: String) raises -> List[Int]:
    return [Int(part) for part in text.split(",")]


def main() raises:
    var tokens: List[Int] = [1 << i for i in range(14)]
    var experts: List[Int] = [32]
    var routings: List[String] = ["balanced"]
    var arguments = argv()
    for i in range(1, len(arguments) - 1, 2):
        var name = String(arguments[i])
        var value = String(arguments[i + 1])
        if name == "--tokens":
            tokens = numbers(value)
        elif name == "--experts":
            experts = numbers(value)
        elif name == "--routing":
            routings = [String(part) for part in value.split(",")]
            for routing in routings:
                if routing != "balanced" and routing != "skewed":
                    raise Error("unknown routing ", routing)
        else:
            raise Error("unknown option ", name)
    if not has_hopper():
        raise Error(NEEDS_HOPPER)
    var ctx = DeviceContext()
    print_limits(ctx)
    for count in experts:
        bench(ctx, count, tokens, routings)
