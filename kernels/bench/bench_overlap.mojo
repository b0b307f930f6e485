"""Time a chain of kernels as a decode step has them: each after the one before it, or beginning before that has ended.

    bench_overlap [--tokens 1,8,...]

Eight layers of norm, q/k/v, a stand-in for attention and output projection, with weights of their own (424 MB together), and
without or with the head behind them. `norm` and the stand-in are one small kernel. Microseconds of a chain, medians of 20 with
L2 flushed before each, as events on the device give them:

- `plain`: no kernel begins before the one before it has ended.
- `dense`: those of `dense_few` and `dense_head` may (programmatic dependent launch).
- `all`: the small kernel may too, as MAX's norms do; at its end it says that the next may.

Each as launches in a stream, and as a CUDA graph captured from that stream, which is how MAX makes a decode step a graph; with
the ratio of `all` to `plain`. `edges` are the edges of the graph of `all` that the driver made programmatic, and how many there
are. A chain is captured through the driver, because MAX's own `DeviceGraphBuilder` makes nodes whose edges are all full ones.
"""

from std.ffi import OwnedDLHandle
from std.math import rsqrt
from std.memory import Pointer, stack_allocation
from std.sys import argv

from max.gpu import barrier, block_idx, thread_idx
from max.gpu.host import DeviceBuffer, DeviceContext
from max.gpu.host._nvidia_cuda import CUDA, CUstream
from max.gpu.memory import AddressSpace
from max.gpu.primitives import warp

from bench_dense import median, text
from bench_grouped_matmul import FLUSH_BYTES, SAMPLES, numbers, values
from bench_routing import print_row
from harness import NEEDS_HOPPER, has_hopper
from mxfp4.dense.few import dense_few
from mxfp4.dense.head import dense_head
from mxfp4.dense.tile import THREADS, WARPS, launch_attributes
from mxfp4.mma_tile import LANES
from mxfp4.pointers import BF16, Floats
from mxfp4.ptx import grid_release, grid_wait

comptime LAYERS = 8
comptime HIDDEN = 2880
comptime QKV = 5120
comptime ATTENDED = 4096
comptime VOCABULARY = 201088

comptime RELAXED = Int32(2)
"""CU_STREAM_CAPTURE_MODE_RELAXED: loading a kernel is allowed meanwhile."""


def norm_kernel(y: BF16, x: BF16, width: UInt32, stride: UInt32):
    """One block a token: the first `width` of its `stride` values, by the root of their mean square."""
    grid_wait()
    var partial = stack_allocation[
        WARPS, Float32, address_space=AddressSpace.SHARED
    ]()
    var thread = Int(thread_idx.x)
    var row = x.unsafe_offset(Int(block_idx.x) * Int(stride))
    var sum = Float32(0)
    for i in range(thread, Int(width), THREADS):
        var value = row[unsafe_offset=i].cast[DType.float32]()
        sum += value * value
    sum = warp.sum(sum)
    if thread % LANES == 0:
        partial[unsafe_offset=thread // LANES] = sum
    barrier()
    sum = 0
    comptime for i in range(WARPS):
        sum += partial[unsafe_offset=i]
    var factor = rsqrt(sum / Float32(width) + 1e-5)
    var result = y.unsafe_offset(Int(block_idx.x) * Int(width))
    for i in range(thread, Int(width), THREADS):
        result[unsafe_offset=i] = (
            row[unsafe_offset=i].cast[DType.float32]() * factor
        ).cast[DType.bfloat16]()
    grid_release()


def address(buffer: DeviceBuffer[DType.bfloat16]) -> BF16:
    """Where a buffer is."""
    return buffer.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()


struct Chain:
    """The weights of all layers, and room for what is between them."""

    var ctx: DeviceContext
    var tokens: Int
    var qkv: DeviceBuffer[DType.bfloat16]
    var out: DeviceBuffer[DType.bfloat16]
    var head: DeviceBuffer[DType.bfloat16]
    var bias: DeviceBuffer[DType.bfloat16]
    var hidden: DeviceBuffer[DType.bfloat16]
    var normed: DeviceBuffer[DType.bfloat16]
    var projected: DeviceBuffer[DType.bfloat16]
    var attended: DeviceBuffer[DType.bfloat16]
    var logits: DeviceBuffer[DType.float32]

    def __init__(out self, ctx: DeviceContext, tokens: Int) raises:
        self.ctx = ctx
        self.tokens = tokens
        self.qkv = values(ctx, LAYERS * QKV * HIDDEN, 1)
        self.out = values(ctx, LAYERS * HIDDEN * ATTENDED, 2)
        self.head = values(ctx, VOCABULARY * HIDDEN, 3)
        self.bias = values(ctx, QKV, 4)
        self.hidden = values(ctx, tokens * HIDDEN, 5)
        self.normed = values(ctx, tokens * HIDDEN, 6)
        self.projected = values(ctx, tokens * QKV, 7)
        self.attended = values(ctx, tokens * ATTENDED, 8)
        self.logits = ctx.enqueue_create_buffer[DType.float32](
            tokens * VOCABULARY
        )

    def norm[
        OVERLAP: Bool
    ](self, y: BF16, x: BF16, width: Int, stride: Int) raises:
        """Launch the small kernel."""
        self.ctx.enqueue_function[norm_kernel](
            y,
            x,
            UInt32(width),
            UInt32(stride),
            grid_dim=self.tokens,
            block_dim=THREADS,
            attributes=launch_attributes[OVERLAP](),
        )

    def project[
        OVERLAP: Bool
    ](self, y: BF16, x: BF16, w: BF16, rows: Int, features: Int) raises:
        """Launch the kernel for few tokens."""
        dense_few[OVERLAP](
            y,
            x,
            w,
            address(self.bias),
            tokens=self.tokens,
            rows=rows,
            features=features,
            ctx=self.ctx,
        )

    def run[DENSE: Bool, SMALL: Bool, HEAD: Bool](self) raises:
        """Launch all of it.

        Parameters:
            DENSE: Whether the matmuls may begin early.
            SMALL: Whether the small kernel may.
            HEAD: Whether the head is part of it.
        """
        var hidden = address(self.hidden)
        var normed = address(self.normed)
        var projected = address(self.projected)
        var attended = address(self.attended)
        for layer in range(LAYERS):
            self.norm[SMALL](normed, hidden, HIDDEN, HIDDEN)
            self.project[DENSE](
                projected,
                normed,
                address(self.qkv).unsafe_offset(layer * QKV * HIDDEN),
                QKV,
                HIDDEN,
            )
            self.norm[SMALL](attended, projected, ATTENDED, QKV)
            self.project[DENSE](
                hidden,
                attended,
                address(self.out).unsafe_offset(layer * HIDDEN * ATTENDED),
                HIDDEN,
                ATTENDED,
            )
        comptime if HEAD:
            self.norm[SMALL](normed, hidden, HIDDEN, HIDDEN)
            dense_head[DENSE](
                self.logits.unsafe_ptr()
                .unsafe_mut_cast[True]()
                .as_unsafe_any_origin(),
                normed,
                address(self.head),
                tokens=self.tokens,
                rows=VOCABULARY,
                features=HIDDEN,
                ctx=self.ctx,
            )


struct Captured:
    """What a function launches, as a graph of the CUDA driver."""

    var cuda: OwnedDLHandle
    var stream: CUstream
    var graph: UInt64
    var executable: UInt64

    def __init__[
        Launch: def() raises -> None
    ](out self, ctx: DeviceContext, launch: Launch) raises:
        """Capture it; everything has been launched before, and is loaded."""
        self.cuda = OwnedDLHandle("libcuda.so.1")
        self.stream = CUDA(ctx.stream())
        self.graph = 0
        self.executable = 0
        check(
            self.cuda.call["cuStreamBeginCapture_v2", Int32](
                self.stream, RELAXED
            ),
            "cuStreamBeginCapture",
        )
        # Whatever happens, the stream must not be left capturing.
        var problem = String()
        try:
            launch()
        except error:
            problem = String(error)
        var ended = self.cuda.call["cuStreamEndCapture", Int32](
            self.stream, Pointer(to=self.graph)
        )
        if problem:
            raise Error("while capturing: ", problem)
        check(ended, "cuStreamEndCapture")
        check(
            self.cuda.call["cuGraphInstantiateWithFlags", Int32](
                Pointer(to=self.executable), self.graph, UInt64(0)
            ),
            "cuGraphInstantiateWithFlags",
        )

    def replay(self) raises:
        """Launch the graph in the stream it was captured from."""
        check(
            self.cuda.call["cuGraphLaunch", Int32](
                self.executable, self.stream
            ),
            "cuGraphLaunch",
        )

    def edges(self) raises -> String:
        """How many edges are programmatic, and how many there are."""
        var count = UInt64(0)
        comptime NOTHING = UInt64(0)
        check(
            self.cuda.call["cuGraphGetEdges_v2", Int32](
                self.graph, NOTHING, NOTHING, NOTHING, Pointer(to=count)
            ),
            "cuGraphGetEdges_v2",
        )
        var begin = List(length=Int(count), fill=UInt64(0))
        var end = List(length=Int(count), fill=UInt64(0))
        # Of its eight bytes the third is the type: 0 is full, 1 programmatic.
        var data = List(length=8 * Int(count), fill=UInt8(0))
        check(
            self.cuda.call["cuGraphGetEdges_v2", Int32](
                self.graph,
                begin.unsafe_ptr(),
                end.unsafe_ptr(),
                data.unsafe_ptr(),
                Pointer(to=count),
            ),
            "cuGraphGetEdges_v2",
        )
        var programmatic = 0
        for i in range(Int(count)):
            programmatic += Int(data[8 * i + 2] == 1)
        _ = begin^
        _ = end^
        return String(programmatic, "/", count)


def check(result: Int32, call: String) raises:
    """Raise unless the driver returned CUDA_SUCCESS."""
    if result != 0:
        raise Error(call, " returned ", result)


def time[
    Launch: def() raises -> None
](
    ctx: DeviceContext, launch: Launch, flush: DeviceBuffer[DType.uint8]
) raises -> Float64:
    """Median of the microseconds of what a function launches."""
    var found = List[Float64]()
    for _ in range(SAMPLES):
        # While the device writes, the host gets ahead: its delays are not in the time.
        for i in range(8):
            flush.enqueue_fill(UInt8(i))
        found.append(Float64(ctx.execution_time(launch, 1)) / 1e3)
    return median(found^)


def bench[
    HEAD: Bool
](ctx: DeviceContext, tokens: Int, flush: DeviceBuffer[DType.uint8]) raises:
    """Print the two lines of one number of tokens."""
    var chain = Chain(ctx, tokens)
    var in_stream = List[Float64]()
    var in_graph = List[Float64]()
    var edges = String("-")
    comptime for kind in range(3):

        def launch() raises {imm}:
            chain.run[kind >= 1, kind >= 2, HEAD]()

        launch()
        ctx.synchronize()
        in_stream.append(time(ctx, launch, flush))
        try:
            var captured = Captured(ctx, launch)

            def replay() raises {imm}:
                captured.replay()

            replay()
            ctx.synchronize()
            in_graph.append(time(ctx, replay, flush))
            edges = captured.edges()
        except error:
            print("no graph:", error, flush=True)
    comptime for graph in range(2):
        ref found = in_graph if graph == 1 else in_stream
        var cells: List[String] = [
            "graph" if graph == 1 else "stream",
            "with" if HEAD else "without",
            String(tokens),
        ]
        for one in found:
            cells.append(text(one))
        if len(found) == 3:
            # To three digits behind the point.
            var ratio = Int(found[2] / found[0] * 1000 + 0.5)
            cells.append(
                String(ratio // 1000, ".", String(1000 + ratio % 1000)[byte=1:])
            )
            cells.append(edges if graph == 1 else "-")
        print_row(cells)
    _ = chain^


def main() raises:
    var tokens: List[Int] = [1, 8, 64, 128]
    var arguments = argv()
    for i in range(1, len(arguments) - 1, 2):
        if String(arguments[i]) != "--tokens":
            raise Error("unknown option ", arguments[i])
        tokens = numbers(String(arguments[i + 1]))
    if not has_hopper():
        raise Error(NEEDS_HOPPER)
    var ctx = DeviceContext()
    var flush = ctx.enqueue_create_buffer[DType.uint8](FLUSH_BYTES)
    print_row(["", "head", "tokens", "plain", "dense", "all", "ratio", "edges"])
    for count in tokens:
        bench[False](ctx, count, flush)
        bench[True](ctx, count, flush)
