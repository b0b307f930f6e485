"""Time the dense matmuls, and what MAX's own does beside them, on GPT-OSS's attention projections and head.

    bench_dense [--tokens 1,2,...]

Prints a table. `here` is `dense_matmul`, and for the head `dense_logits`; `MAX` is its matmul as it chooses tiles itself, with an
epilogue that stores within bounds; both launched by themselves. `graph` is our kernel for few tokens as a device graph of one
node. Microseconds are medians of 20, L2 flushed before each, as events on the device give them; GB/s count the weights once
and TFLOP/s the products, in the time of `here` and of `MAX`. The first shapes are the head, whose results are float32,
and the projections of one device, the others a half and a quarter of them: for those MAX's is not timed, because it is
compiled for minutes a shape.
"""

from std.sys import argv

from bench_grouped_matmul import FLUSH_BYTES, SAMPLES, numbers, times, values
from bench_routing import print_row
from harness import NEEDS_HOPPER, has_hopper
from linalg.matmul import matmul
from layout import Coord, Idx, TileTensor, row_major
from max.gpu.host import (
    DeviceAttribute,
    DeviceBuffer,
    DeviceContext,
    DeviceGraph,
    DeviceGraphBuilder,
    Dim,
    FuncAttribute,
)
from mxfp4.dense.matmul import dense_logits, dense_matmul
from mxfp4.dense.few import (
    FEW_TOKENS,
    FewShape,
    ROWS,
    dense_few_kernel,
    few_parts,
)
from mxfp4.dense.head import (
    HEAD_ROWS,
    HeadShape,
    dense_head_kernel,
)
from mxfp4.dense.tile import THREADS, few_tile


comptime SPARE_ROWS = 128
"""No tile that MAX's matmul writes is taller."""
comptime MOST_LOGITS = 512
"""Tokens of which the head is timed: it is asked for one a request."""


def median(var times: List[Float64]) -> Float64:
    """The one in the middle."""
    sort(times)
    return times[len(times) // 2]


def text(number: Float64) -> String:
    """A number with one digit behind the point."""
    var tenths = Int(number * 10 + 0.5)
    return String(tenths // 10, ".", tenths % 10)


struct Layer[N: Int, K: Int, dtype: DType]:
    """One projection with its tokens and results, which are bf16 with a bias or float32 without."""

    var ctx: DeviceContext
    var tokens: Int
    var x: DeviceBuffer[DType.bfloat16]
    var w: DeviceBuffer[DType.bfloat16]
    var bias: DeviceBuffer[DType.bfloat16]
    var y: DeviceBuffer[Self.dtype]

    def __init__(out self, ctx: DeviceContext, tokens: Int) raises:
        self.ctx = ctx
        self.tokens = tokens
        self.x = values(ctx, tokens * Self.K, 1)
        self.w = values(ctx, Self.N * Self.K, 2)
        self.bias = values(ctx, Self.N, 3)
        # MAX's may write whole tiles.
        var room = (tokens + SPARE_ROWS - 1) // SPARE_ROWS * SPARE_ROWS
        self.y = ctx.enqueue_create_buffer[Self.dtype](room * Self.N)

    def here(self) raises:
        """Launch ours."""
        var x = (
            self.x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
        )
        var w = (
            self.w.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
        )
        var y = self.y.unsafe_ptr().unsafe_mut_cast[True]()
        comptime if Self.dtype == DType.float32:
            dense_logits(
                TileTensor(
                    y.unsafe_bitcast[Float32](),
                    row_major((self.tokens, Idx[Self.N])),
                ),
                TileTensor(x, row_major((self.tokens, Idx[Self.K]))),
                TileTensor(w, row_major((Idx[Self.N], Idx[Self.K]))),
                self.ctx,
            )
        else:
            dense_matmul(
                TileTensor(
                    y.unsafe_bitcast[BFloat16](),
                    row_major((self.tokens, Idx[Self.N])),
                ),
                TileTensor(x, row_major((self.tokens, Idx[Self.K]))),
                TileTensor(w, row_major((Idx[Self.N], Idx[Self.K]))),
                self.bias.unsafe_ptr()
                .unsafe_mut_cast[True]()
                .as_unsafe_any_origin(),
                self.ctx,
            )

    def max(self) raises:
        """Launch MAX's."""
        var x = TileTensor(
            self.x.unsafe_ptr().unsafe_mut_cast[True](),
            row_major((self.tokens, Idx[Self.K])),
        )
        var w = TileTensor(
            self.w.unsafe_ptr().unsafe_mut_cast[True](),
            row_major((Idx[Self.N], Idx[Self.K])),
        )
        var y = self.y.unsafe_ptr().unsafe_mut_cast[True]()
        comptime if Self.dtype == DType.float32:
            matmul[transpose_b=True, target="gpu"](
                TileTensor(
                    y.unsafe_bitcast[Float32](),
                    row_major((self.tokens, Idx[Self.N])),
                ),
                x,
                w,
                self.ctx,
            )
        else:
            var result = y.unsafe_bitcast[BFloat16]().as_unsafe_any_origin()
            var bias = (
                self.bias.unsafe_ptr()
                .unsafe_mut_cast[True]()
                .as_unsafe_any_origin()
            )

            @__parameter
            @__copy_capture(result, bias)
            def store[
                dtype: DType, width: SIMDLength, *, alignment: Int = 1
            ](at: Coord, value: SIMD[dtype, width]):
                var column = Int(at[1])
                var added = bias.unsafe_offset(column).unsafe_load[
                    width=width, alignment=2
                ]()
                result.unsafe_offset(Int(at[0]) * Self.N + column).unsafe_store[
                    alignment=alignment
                ](
                    (
                        value.cast[DType.float32]()
                        + added.cast[DType.float32]()
                    ).cast[DType.bfloat16]()
                )

            matmul[transpose_b=True, target="gpu", elementwise_lambda_fn=store](
                TileTensor(result, row_major((self.tokens, Idx[Self.N]))),
                x,
                w,
                self.ctx,
            )

    def add(self, mut builder: DeviceGraphBuilder) raises:
        """Add our kernel to a graph, as `few` launches it."""
        var x = (
            self.x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
        )
        var w = (
            self.w.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
        )
        var y = self.y.unsafe_ptr().unsafe_mut_cast[True]()
        var wanted = few_tile(self.tokens)
        comptime for i in range(4):
            comptime TOKENS = 16 << i
            if wanted != TOKENS:
                continue
            var batches = (self.tokens + TOKENS - 1) // TOKENS
            comptime if Self.dtype == DType.float32:
                comptime Shape = HeadShape[TOKENS]
                comptime TILES = (Self.N + HEAD_ROWS - 1) // HEAD_ROWS
                var processors = self.ctx.get_attribute(
                    DeviceAttribute.MULTIPROCESSOR_COUNT
                )
                _ = builder.add_function[dense_head_kernel[TOKENS]](
                    y.unsafe_bitcast[Float32]().as_unsafe_any_origin(),
                    x,
                    w,
                    UInt32(self.tokens),
                    UInt32(Self.N),
                    UInt32(Self.K),
                    grid_dim=min(Int(processors), TILES * batches),
                    block_dim=THREADS,
                    shared_mem_bytes=Shape.SHARED_BYTES,
                    func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                        UInt32(Shape.SHARED_BYTES)
                    ),
                    dependencies=[],
                )
            else:
                comptime Shape = FewShape[TOKENS]
                comptime TILES = (Self.N + ROWS - 1) // ROWS
                comptime STEPS = (
                    Self.K + Shape.Tile.STEP - 1
                ) // Shape.Tile.STEP
                var parts = few_parts(TILES * batches, STEPS)
                _ = builder.add_function[dense_few_kernel[TOKENS]](
                    y.unsafe_bitcast[BFloat16]().as_unsafe_any_origin(),
                    x,
                    w,
                    self.bias.unsafe_ptr()
                    .unsafe_mut_cast[True]()
                    .as_unsafe_any_origin(),
                    UInt32(self.tokens),
                    UInt32(Self.N),
                    UInt32(Self.K),
                    grid_dim=(parts, TILES, batches),
                    block_dim=THREADS,
                    cluster_dim=Dim(parts, 1, 1),
                    shared_mem_bytes=Shape.SHARED_BYTES,
                    func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                        UInt32(Shape.SHARED_BYTES)
                    ),
                    dependencies=[],
                )


def bench[
    N: Int, K: Int, dtype: DType, BOTH: Bool
](ctx: DeviceContext, tokens: Int, flush: DeviceBuffer[DType.uint8]) raises:
    """Print one line."""
    var layer = Layer[N, K, dtype](ctx, tokens)

    def here() raises {imm}:
        layer.here()

    def max() raises {imm}:
        comptime if BOTH:
            layer.max()

    def add(mut builder: DeviceGraphBuilder) raises {imm}:
        layer.add(builder)

    here()
    max()
    ctx.synchronize()
    var of_here = List[Float64]()
    var of_max = List[Float64]()
    for _ in range(SAMPLES):
        # While the device writes, the host gets ahead: its delays are not in the time.
        flush.enqueue_fill(0)
        flush.enqueue_fill(1)
        of_here.append(Float64(ctx.execution_time(here, 1)) / 1e3)
        comptime if BOTH:
            flush.enqueue_fill(0)
            flush.enqueue_fill(1)
            of_max.append(Float64(ctx.execution_time(max, 1)) / 1e3)
    var graph = String("-")
    if tokens <= FEW_TOKENS:
        graph = text(
            times(ctx, DeviceGraph.create(ctx, add), flush)[SAMPLES // 2]
        )
    var time = median(of_here^)
    comptime BYTES = Float64(N * K * 2)
    var flop = BYTES * Float64(tokens)
    var cells: List[String] = [
        String(N),
        String(K),
        String(tokens) + ("*" if tokens <= FEW_TOKENS else " "),
        text(time),
        graph,
        String(Int(BYTES / time / 1e3)),
        String(Int(flop / time / 1e6)),
    ]
    comptime if BOTH:
        var other = median(of_max^)
        cells += [
            text(other),
            String(Int(BYTES / other / 1e3)),
            String(Int(flop / other / 1e6)),
        ]
    else:
        cells += ["-", "-", "-"]
    print_row(cells)
    _ = layer^


def main() raises:
    var tokens: List[Int] = [1, 8, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
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
        [
            "rows",
            "features",
            "tokens ",
            "here",
            "graph",
            "GB/s",
            "TFLOP/s",
            "MAX",
            "GB/s",
            "TFLOP/s",
        ]
    )
    var few = List[Int]()
    for count in tokens:
        if count <= MOST_LOGITS:
            few.append(count)
    for count in few:
        bench[201088, 2880, DType.float32, True](ctx, count, flush)
    comptime for i in range(6):
        comptime N = [5120, 2880, 2560, 2880, 1280, 2880][i]
        comptime K = [2880, 4096, 2880, 2048, 2880, 1024][i]
        for count in tokens:
            bench[N, K, DType.bfloat16, i < 2](ctx, count, flush)
    comptime for i in range(2):
        for count in few:
            bench[201088 >> (1 + i), 2880, DType.float32, False](
                ctx, count, flush
            )
