"""Time the dense matmul for few tokens, and MAX's own beside it, on GPT-OSS's attention projections.

    bench_dense [--tokens 1,2,...]

Prints a table. `few` is our kernel and `MAX` its matmul with the same bias, both launched by themselves; `graph` is our kernel
as a device graph of one node. Microseconds are medians of 20, L2 flushed before each, as events on the device give them;
GB/s count the weights once, in the time of `few` and of `MAX`. The first two shapes are those of one device, the others
a half and a quarter of them: for those MAX's is not timed, because it is compiled for minutes a shape.
"""

from std.sys import argv

from bench_grouped_matmul import FLUSH_BYTES, SAMPLES, numbers, times, values
from bench_routing import print_row
from harness import NEEDS_HOPPER, has_hopper
from layout import Idx, TileTensor, row_major
from max.gpu.host import (
    DeviceBuffer,
    DeviceContext,
    DeviceGraph,
    DeviceGraphBuilder,
    Dim,
    FuncAttribute,
)
from mxfp4.dense import FEW_TOKENS, dense_many
from mxfp4.dense_few import (
    FewShape,
    ROWS,
    THREADS,
    dense_few,
    dense_few_kernel,
    few_parts,
    few_tile,
)


def median(var times: List[Float64]) -> Float64:
    """The one in the middle."""
    sort(times)
    return times[len(times) // 2]


def text(number: Float64) -> String:
    """A number with one digit behind the point."""
    var tenths = Int(number * 10 + 0.5)
    return String(tenths // 10, ".", tenths % 10)


struct Layer:
    """One projection with its tokens and results."""

    var ctx: DeviceContext
    var tokens: Int
    var rows: Int
    var features: Int
    var x: DeviceBuffer[DType.bfloat16]
    var w: DeviceBuffer[DType.bfloat16]
    var bias: DeviceBuffer[DType.bfloat16]
    var y: DeviceBuffer[DType.bfloat16]

    def __init__(
        out self, ctx: DeviceContext, tokens: Int, rows: Int, features: Int
    ) raises:
        self.ctx = ctx
        self.tokens = tokens
        self.rows = rows
        self.features = features
        self.x = values(ctx, tokens * features, 1)
        self.w = values(ctx, rows * features, 2)
        self.bias = values(ctx, rows, 3)
        self.y = ctx.enqueue_create_buffer[DType.bfloat16](tokens * rows)

    def few(self) raises:
        """Launch our kernel."""
        dense_few(
            self.y.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            self.x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            self.w.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            self.bias.unsafe_ptr()
            .unsafe_mut_cast[True]()
            .as_unsafe_any_origin(),
            tokens=self.tokens,
            rows=self.rows,
            features=self.features,
            ctx=self.ctx,
        )

    def max[N: Int, K: Int](self) raises:
        """Launch MAX's."""
        dense_many(
            TileTensor(
                self.y.unsafe_ptr().unsafe_mut_cast[True](),
                row_major((self.tokens, Idx[N])),
            ),
            TileTensor(
                self.x.unsafe_ptr().unsafe_mut_cast[True](),
                row_major((self.tokens, Idx[K])),
            ),
            TileTensor(
                self.w.unsafe_ptr().unsafe_mut_cast[True](),
                row_major((Idx[N], Idx[K])),
            ),
            self.bias.unsafe_ptr()
            .unsafe_mut_cast[True]()
            .as_unsafe_any_origin(),
            self.ctx,
        )

    def add(self, mut builder: DeviceGraphBuilder) raises:
        """Add our kernel to a graph, as `dense_few` launches it."""
        var wanted = few_tile(self.tokens)
        comptime for i in range(4):
            comptime TOKENS = 16 << i
            comptime Shape = FewShape[TOKENS]
            if wanted == TOKENS:
                var tiles = (self.rows + ROWS - 1) // ROWS
                var batches = (self.tokens + TOKENS - 1) // TOKENS
                var parts = few_parts(
                    tiles * batches,
                    (self.features + Shape.STEP - 1) // Shape.STEP,
                )
                _ = builder.add_function[dense_few_kernel[TOKENS]](
                    self.y.unsafe_ptr()
                    .unsafe_mut_cast[True]()
                    .as_unsafe_any_origin(),
                    self.x.unsafe_ptr()
                    .unsafe_mut_cast[True]()
                    .as_unsafe_any_origin(),
                    self.w.unsafe_ptr()
                    .unsafe_mut_cast[True]()
                    .as_unsafe_any_origin(),
                    self.bias.unsafe_ptr()
                    .unsafe_mut_cast[True]()
                    .as_unsafe_any_origin(),
                    UInt32(self.tokens),
                    UInt32(self.rows),
                    UInt32(self.features),
                    grid_dim=(parts, tiles, batches),
                    block_dim=THREADS,
                    cluster_dim=Dim(parts, 1, 1),
                    shared_mem_bytes=Shape.SHARED_BYTES,
                    func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                        UInt32(Shape.SHARED_BYTES)
                    ),
                    dependencies=[],
                )


def bench[
    N: Int, K: Int, BOTH: Bool
](ctx: DeviceContext, tokens: Int, flush: DeviceBuffer[DType.uint8]) raises:
    """Print one line."""
    var layer = Layer(ctx, tokens, N, K)

    def few() raises {imm}:
        layer.few()

    def max() raises {imm}:
        comptime if BOTH:
            layer.max[N, K]()

    def add(mut builder: DeviceGraphBuilder) raises {imm}:
        layer.add(builder)

    few()
    max()
    ctx.synchronize()
    var of_few = List[Float64]()
    var of_max = List[Float64]()
    for _ in range(SAMPLES):
        # While the device writes, the host gets ahead: its delays are not in the time.
        flush.enqueue_fill(0)
        flush.enqueue_fill(1)
        of_few.append(Float64(ctx.execution_time(few, 1)) / 1e3)
        comptime if BOTH:
            flush.enqueue_fill(0)
            flush.enqueue_fill(1)
            of_max.append(Float64(ctx.execution_time(max, 1)) / 1e3)
    var graph = times(ctx, DeviceGraph.create(ctx, add), flush)[SAMPLES // 2]
    var time = median(of_few^)
    comptime BYTES = Float64(N * K * 2)
    var cells: List[String] = [
        String(N),
        String(K),
        String(tokens) + ("*" if tokens <= FEW_TOKENS else " "),
        text(time),
        text(graph),
        String(Int(BYTES / time / 1e3)),
    ]
    comptime if BOTH:
        var other = median(of_max^)
        cells += [text(other), String(Int(BYTES / other / 1e3))]
    else:
        cells += ["-", "-"]
    print_row(cells)
    _ = layer^


def main() raises:
    var tokens: List[Int] = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    var arguments = argv()
    for i in range(1, len(arguments) - 1, 2):
        if String(arguments[i]) != "--tokens":
            raise Error("unknown option ", arguments[i])
        tokens = numbers(String(arguments[i + 1]))
    if not has_hopper():
        raise Error(NEEDS_HOPPER)
    var ctx = DeviceContext()
    var flush = ctx.enqueue_create_buffer[DType.uint8](FLUSH_BYTES)
    print_row(
        ["rows", "features", "tokens ", "few", "graph", "GB/s", "MAX", "GB/s"]
    )
    comptime for i in range(6):
        comptime N = [5120, 2880, 2560, 2880, 1280, 2880][i]
        comptime K = [2880, 4096, 2880, 2048, 2880, 1024][i]
        for count in tokens:
            bench[N, K, i < 2](ctx, count, flush)
