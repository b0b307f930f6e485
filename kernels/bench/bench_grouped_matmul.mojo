"""Time the grouped matmul on GPT-OSS shapes, and the limits of the GPU beside it.

    bench_grouped_matmul [--tokens 1,2,...] [--experts 32] [--routing balanced]

Prints one JSON object a line: first `limit`s, then a row for each case. A time is that of one replay of a device graph,
L2 flushed before, as events on the device give it: median, 10th and 90th percentile of 20. `bytes` are the packed
weights of the experts that have tokens, `flop` counts the routed rows.

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
    FuncAttribute,
)
from std.memory import Pointer

from harness import NEEDS_HOPPER, fill_values, has_hopper, hash32
from mxfp4.grouped_matmul import (
    BIAS,
    SWIGLU,
    grouped_matmul_kernel,
    shared_bytes,
    threads,
    tile_tokens,
)
from mxfp4.layout import Bytes, CODE_WORDS, TILE_WORDS, packed_words

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


def group_sizes(tokens: Int, experts: Int, skewed: Bool) -> List[Int]:
    """Rows of each expert. A token takes the experts with the highest hashes."""
    var sizes = List(length=experts, fill=0)
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
        for expert in taken:
            sizes[expert] += 1
    return sizes^


def bench[
    EPILOGUE: Int
](
    ctx: DeviceContext,
    projection: String,
    n: Int,
    experts: Int,
    tokens: List[Int],
    routings: List[String],
) raises:
    """Print a row for each routing and number of tokens."""
    var k = HIDDEN
    var per_expert = packed_words(n, k) * 4
    var weights = ctx.enqueue_create_buffer[DType.uint8](experts * per_expert)
    ctx.enqueue_function[fill_weights](
        weights,
        UInt64(len(weights)),
        grid_dim=(len(weights) + 255) // 256,
        block_dim=256,
    )
    var bias = values(ctx, experts * n, 4)
    var flush = ctx.enqueue_create_buffer[DType.uint8](FLUSH_BYTES)
    var processors = ctx.get_attribute(DeviceAttribute.MULTIPROCESSOR_COUNT)
    var ids = ctx.enqueue_create_buffer[DType.int32](experts)
    with ids.map_to_host() as host:
        for e in range(experts):
            host[e] = Int32(e)
    for routing in routings:
        for count in tokens:
            var m = count * TOP
            var x = values(ctx, m * k, 3)
            var y = ctx.enqueue_create_buffer[DType.bfloat16](m * n)
            var starts = ctx.enqueue_create_buffer[DType.uint32](experts + 1)
            var active = 0
            with starts.map_to_host() as host:
                var at = 0
                var sizes = group_sizes(count, experts, routing == "skewed")
                for e in range(experts):
                    host[e] = UInt32(at)
                    at += sizes[e]
                    active += Int(sizes[e] > 0)
                host[experts] = UInt32(at)
            var y_pointer = y.unsafe_ptr().as_unsafe_any_origin()
            var x_pointer = x.unsafe_ptr().as_unsafe_any_origin()
            var w_pointer = weights.unsafe_ptr().as_unsafe_any_origin()
            var bias_pointer = bias.unsafe_ptr().as_unsafe_any_origin()
            var starts_pointer = starts.unsafe_ptr().as_unsafe_any_origin()
            var ids_pointer = ids.unsafe_ptr().as_unsafe_any_origin()
            var wanted = tile_tokens(m, experts)

            def build(mut builder: DeviceGraphBuilder) raises {imm}:
                comptime for i in range(6):
                    comptime TOKENS = 1 << (3 + i)
                    if wanted == TOKENS:
                        comptime shared = shared_bytes[TOKENS]()
                        _ = builder.add_function[
                            grouped_matmul_kernel[TOKENS, EPILOGUE]
                        ](
                            y_pointer,
                            x_pointer,
                            w_pointer,
                            bias_pointer,
                            starts_pointer,
                            ids_pointer,
                            UInt32(n),
                            UInt32(k),
                            UInt32(experts),
                            grid_dim=Int(processors),
                            block_dim=threads[TOKENS](),
                            shared_mem_bytes=shared,
                            func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                                UInt32(shared)
                            ),
                        )

            var graph = DeviceGraph.create(ctx, build)

            def replay() raises {imm}:
                graph.replay()

            replay()
            ctx.synchronize()
            var times = List[Float64]()
            for _ in range(SAMPLES):
                # While the device writes, the host gets ahead: its delays are not in the time.
                flush.enqueue_fill(0)
                flush.enqueue_fill(1)
                times.append(Float64(ctx.execution_time(replay, 1)) / 1e3)
            sort(times)
            print(
                '{"experts": ',
                experts,
                ', "tokens": ',
                count,
                ', "routing": "',
                routing,
                '", "active": ',
                active,
                ', "projection": "',
                projection,
                '", "median_us": ',
                times[SAMPLES // 2],
                ', "low_us": ',
                times[SAMPLES // 10],
                ', "high_us": ',
                times[SAMPLES - 1 - SAMPLES // 10],
                ', "bytes": ',
                active * per_expert,
                ', "flop": ',
                2 * m * n * k,
                "}",
                sep="",
                flush=True,
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
        bench[SWIGLU](ctx, "gate_up", 2 * HIDDEN, count, tokens, routings)
        bench[BIAS](ctx, "down", HIDDEN, count, tokens, routings)
