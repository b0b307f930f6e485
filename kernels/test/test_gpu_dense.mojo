"""The dense matmul on a Hopper GPU: right against a plain sum in float64, and nothing written beyond the last row."""

from std.atomic import Atomic
from std.memory import Pointer, bitcast
from std.sys.info import has_accelerator

from layout import Idx, TileTensor, row_major
from max.gpu import block_idx, global_idx
from max.gpu.host import DeviceContext

from harness import NEEDS_HOPPER, Report, fill_values, has_hopper
from mxfp4.dense import dense_matmul
from reference import Half

comptime POISON = UInt16(0x7FDE)
"""A NaN that no computation makes."""
comptime N = 2880
comptime K = 4096
comptime BEYOND = 256
"""Rows behind the result that must stay as they are."""

comptime Halves = Pointer[UInt16, MutAnyOrigin]
comptime Count = Pointer[UInt32, MutAnyOrigin]


def fill_poison(target: Halves, count: UInt64):
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = POISON


def compare(wrong: Count, y: Half, x: Half, w: Half, rows: UInt32):
    """One thread a value: sum up anew, or expect the poison."""
    var column = Int(global_idx.x)
    var row = Int(block_idx.y)
    if column >= N:
        return
    var got = y[unsafe_offset=row * N + column]
    if row >= Int(rows):
        if bitcast[DType.uint16, 1](got) != POISON:
            _ = Atomic.fetch_add(wrong, UInt32(1))
        return
    var sum = Float64(0)
    var absolute = Float64(0)
    for i in range(K):
        var product = (
            x[unsafe_offset=row * K + i].cast[DType.float64]()
            * w[unsafe_offset=column * K + i].cast[DType.float64]()
        )
        sum += product
        absolute += abs(product)
    var bound = abs(sum) / 256 + Float64(K) / Float64(1 << 23) * absolute
    if not (abs(got.cast[DType.float64]() - sum) <= bound):
        _ = Atomic.fetch_add(wrong, UInt32(1))


def check(mut report: Report, ctx: DeviceContext, rows: Int) raises:
    var x = ctx.enqueue_create_buffer[DType.bfloat16](rows * K)
    var w = ctx.enqueue_create_buffer[DType.bfloat16](N * K)
    var y = ctx.enqueue_create_buffer[DType.bfloat16]((rows + BEYOND) * N)
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
    ctx.enqueue_function[fill_poison](
        y.unsafe_ptr().unsafe_bitcast[UInt16]().as_unsafe_any_origin(),
        UInt64(len(y)),
        grid_dim=(len(y) + 255) // 256,
        block_dim=256,
    )
    dense_matmul(
        TileTensor(y, row_major((rows, Idx[N]))),
        TileTensor(x, row_major((rows, Idx[K]))),
        TileTensor(w, row_major((Idx[N], Idx[K]))),
        ctx,
    )
    ctx.enqueue_function[compare](
        wrong,
        y,
        x,
        w,
        UInt32(rows),
        grid_dim=((N + 127) // 128, rows + BEYOND),
        block_dim=128,
    )
    with wrong.map_to_host() as host:
        report.check(
            "dense matmul, " + String(rows) + " rows",
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
                check(report, ctx, rows)
            report.finish()
            return
    report.skipped("dense matmul", NEEDS_HOPPER)
