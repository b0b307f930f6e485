"""The dense matmuls on a Hopper GPU: right against a plain sum in float64, and nothing written beyond their result."""

from std.atomic import Atomic
from std.memory import Pointer, bitcast
from std.sys import size_of
from std.sys.info import has_accelerator

from layout import Idx, TileTensor, row_major
from max.gpu import block_idx, global_idx
from max.gpu.host import DeviceContext

from harness import NEEDS_HOPPER, Report, fill_values, has_hopper
from mxfp4.dense import SPARE_ROWS, dense_matmul, dense_matmul_float32
from reference import Half

comptime POISON = UInt8(0x7D)
"""Every byte behind the result: in both dtypes a number that no sum here comes near."""
comptime BEYOND = 256
"""Rows behind the result that must stay as they are."""

comptime Bytes = Pointer[UInt8, MutAnyOrigin]
comptime Count = Pointer[UInt32, MutAnyOrigin]


def fill_poison(target: Bytes, count: UInt64):
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = POISON


def compare[
    dtype: DType, K: Int
](
    wrong: Count,
    y: Pointer[Scalar[dtype], MutAnyOrigin],
    x: Half,
    w: Half,
    bias: Half,
    rows: UInt32,
    columns: UInt32,
    step: UInt32,
):
    """One thread a value, of every `step`-th column: sum up anew."""
    var column = Int(global_idx.x) * Int(step)
    var row = Int(block_idx.y)
    if column >= Int(columns):
        return
    var got = y[unsafe_offset=row * Int(columns) + column].cast[DType.float64]()
    var sum = Float64(0)
    var absolute = Float64(0)
    for i in range(K):
        var product = (
            x[unsafe_offset=row * K + i].cast[DType.float64]()
            * w[unsafe_offset=column * K + i].cast[DType.float64]()
        )
        sum += product
        absolute += abs(product)
    var bound = Float64(K) / Float64(1 << 23) * absolute
    comptime if dtype == DType.bfloat16:
        # Rounded before the bias is added, and after.
        bound += abs(sum) / 256
        sum += bias[unsafe_offset=column].cast[DType.float64]()
        bound += abs(sum) / 256
    if not (abs(got - sum) <= bound):
        _ = Atomic.fetch_add(wrong, UInt32(1))


def expect_poison(wrong: Count, bytes: Bytes, first: UInt64, end: UInt64):
    var i = Int(first) + Int(global_idx.x)
    if i < Int(end) and bytes[unsafe_offset=i] != POISON:
        _ = Atomic.fetch_add(wrong, UInt32(1))


def check[
    dtype: DType, N: Int, K: Int
](mut report: Report, ctx: DeviceContext, rows: Int) raises:
    var room = rows
    comptime if dtype == DType.float32:
        room = (rows + SPARE_ROWS - 1) // SPARE_ROWS * SPARE_ROWS
    var x = ctx.enqueue_create_buffer[DType.bfloat16](rows * K)
    var w = ctx.enqueue_create_buffer[DType.bfloat16](N * K)
    var bias = ctx.enqueue_create_buffer[DType.bfloat16](N)
    var y = ctx.enqueue_create_buffer[dtype]((room + BEYOND) * N)
    var wrong = ctx.enqueue_create_buffer[DType.uint32](1)
    wrong.enqueue_fill(0)
    ctx.enqueue_function[fill_values](
        x.unsafe_ptr().as_unsafe_any_origin(),
        UInt64(len(x)),
        UInt32(1),
        grid_dim=(len(x) + 255) // 256,
        block_dim=256,
    )
    ctx.enqueue_function[fill_values](
        w.unsafe_ptr().as_unsafe_any_origin(),
        UInt64(len(w)),
        UInt32(2),
        grid_dim=(len(w) + 255) // 256,
        block_dim=256,
    )
    ctx.enqueue_function[fill_values](
        bias.unsafe_ptr().as_unsafe_any_origin(),
        UInt64(N),
        UInt32(3),
        grid_dim=(N + 255) // 256,
        block_dim=256,
    )
    var bytes = y.unsafe_ptr().unsafe_bitcast[UInt8]().as_unsafe_any_origin()
    var end = len(y) * size_of[dtype]()
    ctx.enqueue_function[fill_poison](
        bytes, UInt64(end), grid_dim=(end + 255) // 256, block_dim=256
    )
    var x_tile = TileTensor(x, row_major((rows, Idx[K])))
    var w_tile = TileTensor(w, row_major((Idx[N], Idx[K])))
    comptime if dtype == DType.float32:
        dense_matmul_float32(
            TileTensor(
                y.unsafe_ptr().unsafe_bitcast[Float32](),
                row_major((room, Idx[N])),
            ),
            x_tile,
            w_tile,
            ctx,
        )
    else:
        dense_matmul(
            TileTensor(
                y.unsafe_ptr().unsafe_bitcast[BFloat16](),
                row_major((rows, Idx[N])),
            ),
            x_tile,
            w_tile,
            bias.unsafe_ptr().as_unsafe_any_origin(),
            ctx,
        )
    var step = N // 2880
    ctx.enqueue_function[compare[dtype, K]](
        wrong,
        y.unsafe_ptr().as_unsafe_any_origin(),
        x,
        w,
        bias,
        UInt32(rows),
        UInt32(N),
        UInt32(step),
        grid_dim=((N // step + 127) // 128, rows),
        block_dim=128,
    )
    var first = room * N * size_of[dtype]()
    ctx.enqueue_function[expect_poison](
        wrong,
        bytes,
        UInt64(first),
        UInt64(end),
        grid_dim=(end - first + 255) // 256,
        block_dim=256,
    )
    with wrong.map_to_host() as host:
        report.check(
            "dense matmul, " + String(dtype) + ", " + String(rows) + " rows",
            Int(host[0]),
            "values are wrong, or written beyond the end",
        )


def main() raises:
    var report = Report()
    # MAX's matmul does not compile for no GPU at all, so a machine without one must not get that far.
    comptime if has_accelerator():
        if has_hopper():
            var ctx = DeviceContext()
            for rows in [1, 2, 6, 7, 16, 33, 61, 64, 65, 96, 127, 130, 300]:
                # GPT-OSS's output projection, and its head.
                check[DType.bfloat16, 2880, 4096](report, ctx, rows)
                check[DType.float32, 201088, 2880](report, ctx, rows)
            report.finish()
            return
    report.skipped("dense matmul", NEEDS_HOPPER)
