"""The dense matmuls on a Hopper GPU: right against a plain sum in float64, and nothing written beyond their result.

MAX's own is compiled for each shape: it is run with those of GPT-OSS and one smaller, with and without tokens that fill no
tile. The kernels for few tokens are run with many shapes: from one row to more than a tile, twice for the same bits, and once
with whole numbers, where the result must be exact. That to float32 must give a row the same bits in every batch. Both must
hold where they begin before the kernel before them has ended.
"""

from std.atomic import Atomic
from std.memory import Pointer, bitcast
from std.sys import size_of
from std.sys.info import has_accelerator

from layout import Idx, TileTensor, row_major
from max.gpu import block_idx, global_idx
from max.gpu.host import DeviceBuffer, DeviceContext

from harness import (
    NEEDS_HOPPER,
    Report,
    fill_values,
    has_hopper,
    hash32,
    smallest_only,
)
from mxfp4.dense.matmul import dense_logits, dense_matmul
from mxfp4.dense.few import dense_few
from mxfp4.dense.head import dense_head
from mxfp4.dense.tile import launch_attributes
from mxfp4.ptx import grid_release, grid_wait, sleep
from reference import BF16

comptime POISON = UInt8(0x7D)
"""Every byte behind the result: in both dtypes a number that no sum here comes near."""
comptime BEYOND = 256
"""Rows behind the result that must stay as they are."""

comptime MOST_ROWS = 300
"""Rows of the reference that the kernel for few tokens is compared with."""
comptime BEFORE = 1024
"""Values before its result that must stay as they are."""
comptime BEHIND = 200 * 1024
"""Values behind its result that must, which is more than a tile's."""

comptime Bytes = Pointer[UInt8, MutAnyOrigin]
comptime Count = Pointer[UInt32, MutAnyOrigin]
comptime Sums = Pointer[Float64, MutAnyOrigin]


def fill_poison(target: Bytes, count: UInt64):
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = POISON


def compare[
    dtype: DType, K: Int
](
    wrong: Count,
    y: Pointer[Scalar[dtype], MutAnyOrigin],
    x: BF16,
    w: BF16,
    bias: BF16,
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
    var x = ctx.enqueue_create_buffer[DType.bfloat16](rows * K)
    var w = ctx.enqueue_create_buffer[DType.bfloat16](N * K)
    var bias = ctx.enqueue_create_buffer[DType.bfloat16](N)
    var y = ctx.enqueue_create_buffer[dtype]((rows + BEYOND) * N)
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
        dense_logits(
            TileTensor(
                y.unsafe_ptr().unsafe_bitcast[Float32](),
                row_major((rows, Idx[N])),
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
    var step = max(N // 2880, 1)
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
    var first = rows * N * size_of[dtype]()
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
            String(t"dense matmul, {dtype}, {N} x {K}, {rows} rows"),
            Int(host[0]),
            "values are wrong, or written beyond the end",
        )


def fill_whole(target: BF16, count: UInt64, seed: UInt32):
    """Whole numbers from -4 to 3: sums of their products are exact in float32."""
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = BFloat16(
            Int32(hash32(seed, UInt32(i)) % 8) - 4
        )


def add_up(
    sums: Sums,
    absolutes: Sums,
    x: BF16,
    w: BF16,
    columns: UInt32,
    features: UInt32,
):
    """One thread a value: the sum of its products, and that of their absolute values."""
    var column = Int(global_idx.x)
    var row = Int(block_idx.y)
    if column >= Int(columns):
        return
    var sum = Float64(0)
    var absolute = Float64(0)
    for i in range(Int(features)):
        var product = (
            x[unsafe_offset=row * Int(features) + i].cast[DType.float64]()
            * w[unsafe_offset=column * Int(features) + i].cast[DType.float64]()
        )
        sum += product
        absolute += abs(product)
    sums[unsafe_offset=row * Int(columns) + column] = sum
    absolutes[unsafe_offset=row * Int(columns) + column] = absolute


def expect_sums[
    dtype: DType
](
    wrong: Count,
    y: Pointer[Scalar[dtype], MutAnyOrigin],
    sums: Sums,
    absolutes: Sums,
    bias: BF16,
    values: UInt64,
    columns: UInt32,
    features: UInt32,
):
    """One thread a value: within what float32 may do to it, and to bf16, with its bias, rounding once."""
    var i = Int(global_idx.x)
    if i >= Int(values):
        return
    var want = sums[unsafe_offset=i]
    var absolute = absolutes[unsafe_offset=i]
    var rounding = Float64(0)
    comptime if dtype == DType.bfloat16:
        var added = bias[unsafe_offset=i % Int(columns)].cast[DType.float64]()
        want += added
        absolute += abs(added)
        rounding = abs(want) / 256
    var bound = (
        Float64(Int(features) + 1) / Float64(1 << 23) * absolute + rounding
    )
    var got = y[unsafe_offset=i].cast[DType.float64]()
    if not (abs(got - want) <= bound):
        _ = Atomic.fetch_add(wrong, UInt32(1))


def expect_exact[
    dtype: DType
](
    wrong: Count,
    y: Pointer[Scalar[dtype], MutAnyOrigin],
    sums: Sums,
    bias: BF16,
    values: UInt64,
    columns: UInt32,
):
    """One thread a value: a whole number, to bf16 with its bias and rounded."""
    var i = Int(global_idx.x)
    if i >= Int(values):
        return
    var want = Float32(sums[unsafe_offset=i])
    comptime if dtype == DType.bfloat16:
        want += bias[unsafe_offset=i % Int(columns)].cast[DType.float32]()
    if y[unsafe_offset=i] != want.cast[dtype]():
        _ = Atomic.fetch_add(wrong, UInt32(1))


def expect_same(wrong: Count, a: Bytes, b: Bytes, count: UInt64):
    var i = Int(global_idx.x)
    if i < Int(count) and a[unsafe_offset=i] != b[unsafe_offset=i]:
        _ = Atomic.fetch_add(wrong, UInt32(1))


def expect_all_same[
    dtype: DType
](
    ctx: DeviceContext,
    wrong: Count,
    a: DeviceBuffer[dtype],
    b: DeviceBuffer[dtype],
    values: Int,
) raises:
    """Count in which of so many first values' bytes two buffers differ."""
    var count = values * size_of[dtype]()
    ctx.enqueue_function[expect_same](
        wrong,
        a.unsafe_ptr()
        .unsafe_bitcast[UInt8]()
        .unsafe_mut_cast[True]()
        .as_unsafe_any_origin(),
        b.unsafe_ptr()
        .unsafe_bitcast[UInt8]()
        .unsafe_mut_cast[True]()
        .as_unsafe_any_origin(),
        UInt64(count),
        grid_dim=(count + 255) // 256,
        block_dim=256,
    )


def multiply_few[
    dtype: DType, //, OVERLAP: Bool = True
](
    y: Pointer[Scalar[dtype], MutAnyOrigin],
    x: BF16,
    w: BF16,
    bias: BF16,
    *,
    tokens: Int,
    rows: Int,
    features: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue the kernel for few tokens that has such a result."""
    comptime if dtype == DType.float32:
        dense_head[OVERLAP](
            y.unsafe_bitcast[Float32](),
            x,
            w,
            tokens=tokens,
            rows=rows,
            features=features,
            ctx=ctx,
        )
    else:
        dense_few[OVERLAP](
            y.unsafe_bitcast[BFloat16](),
            x,
            w,
            bias,
            tokens=tokens,
            rows=rows,
            features=features,
            ctx=ctx,
        )


struct Case:
    """Tokens, weights and bias of one shape, and what they make."""

    var ctx: DeviceContext
    var columns: Int
    var features: Int
    var x: DeviceBuffer[DType.bfloat16]
    var w: DeviceBuffer[DType.bfloat16]
    var bias: DeviceBuffer[DType.bfloat16]
    var sums: DeviceBuffer[DType.float64]
    var absolutes: DeviceBuffer[DType.float64]

    def __init__[
        fill: def(BF16, UInt64, UInt32) thin -> None
    ](out self, ctx: DeviceContext, columns: Int, features: Int) raises:
        self.ctx = ctx
        self.columns = columns
        self.features = features
        self.x = ctx.enqueue_create_buffer[DType.bfloat16](MOST_ROWS * features)
        self.w = ctx.enqueue_create_buffer[DType.bfloat16](columns * features)
        self.bias = ctx.enqueue_create_buffer[DType.bfloat16](columns)
        self.sums = ctx.enqueue_create_buffer[DType.float64](
            MOST_ROWS * columns
        )
        self.absolutes = ctx.enqueue_create_buffer[DType.float64](
            MOST_ROWS * columns
        )
        var buffers = [self.x, self.w, self.bias]
        for i in range(3):
            ctx.enqueue_function[fill](
                buffers[i].unsafe_ptr().as_unsafe_any_origin(),
                UInt64(len(buffers[i])),
                UInt32(i + 1),
                grid_dim=(len(buffers[i]) + 255) // 256,
                block_dim=256,
            )
        ctx.enqueue_function[add_up](
            self.sums.unsafe_ptr().as_unsafe_any_origin(),
            self.absolutes.unsafe_ptr().as_unsafe_any_origin(),
            self.x.unsafe_ptr().as_unsafe_any_origin(),
            self.w.unsafe_ptr().as_unsafe_any_origin(),
            UInt32(columns),
            UInt32(features),
            grid_dim=((columns + 127) // 128, MOST_ROWS),
            block_dim=128,
        )

    def multiply[
        dtype: DType
    ](self, rows: Int, wrong: Count) raises -> DeviceBuffer[dtype]:
        """Multiply the first rows into the middle of a poisoned buffer, count what is written around them, and return all of it."""
        var values = rows * self.columns
        var y = self.ctx.enqueue_create_buffer[dtype](BEFORE + values + BEHIND)
        var bytes = (
            y.unsafe_ptr().unsafe_bitcast[UInt8]().as_unsafe_any_origin()
        )
        var end = len(y) * size_of[dtype]()
        self.ctx.enqueue_function[fill_poison](
            bytes, UInt64(end), grid_dim=(end + 255) // 256, block_dim=256
        )
        multiply_few(
            y.unsafe_ptr().unsafe_offset(BEFORE).as_unsafe_any_origin(),
            self.x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            self.w.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            self.bias.unsafe_ptr()
            .unsafe_mut_cast[True]()
            .as_unsafe_any_origin(),
            tokens=rows,
            rows=self.columns,
            features=self.features,
            ctx=self.ctx,
        )
        var before = BEFORE * size_of[dtype]()
        var behind = before + values * size_of[dtype]()
        self.ctx.enqueue_function[expect_poison](
            wrong,
            bytes,
            UInt64(0),
            UInt64(before),
            grid_dim=before // 256,
            block_dim=256,
        )
        self.ctx.enqueue_function[expect_poison](
            wrong,
            bytes,
            UInt64(behind),
            UInt64(end),
            grid_dim=(end - behind + 255) // 256,
            block_dim=256,
        )
        return y^


def check_few[
    dtype: DType
](
    mut report: Report,
    ctx: DeviceContext,
    columns: Int,
    features: Int,
    counts: List[Int],
) raises:
    """One shape with all numbers of rows."""
    comptime KINDS = 5
    var kinds: List[String] = [
        "values are wrong",
        "whole numbers are not exact",
        "values are written beside the result",
        "bytes differ the second time",
        "bytes differ from those of more rows",
    ]
    var random = Case.__init__[fill_values](ctx, columns, features)
    var whole = Case.__init__[fill_whole](ctx, columns, features)
    var wrong = ctx.enqueue_create_buffer[DType.uint32](len(counts) * KINDS)
    wrong.enqueue_fill(0)
    # Not looked at for what is around it.
    var unused = ctx.enqueue_create_buffer[DType.uint32](1)
    unused.enqueue_fill(0)
    var most = random.multiply[dtype](
        MOST_ROWS, unused.unsafe_ptr().as_unsafe_any_origin()
    )
    for i in range(len(counts)):
        var rows = counts[i]
        var here = (
            wrong.unsafe_ptr().as_unsafe_any_origin().unsafe_offset(i * KINDS)
        )
        var values = rows * columns
        var blocks = (values + 255) // 256
        var y = random.multiply[dtype](rows, here.unsafe_offset(2))
        var again = random.multiply[dtype](rows, here.unsafe_offset(2))
        var exact = whole.multiply[dtype](rows, here.unsafe_offset(2))
        if rows > 0:
            ctx.enqueue_function[expect_sums[dtype]](
                here,
                y.unsafe_ptr().unsafe_offset(BEFORE).as_unsafe_any_origin(),
                random.sums.unsafe_ptr().as_unsafe_any_origin(),
                random.absolutes.unsafe_ptr().as_unsafe_any_origin(),
                random.bias.unsafe_ptr().as_unsafe_any_origin(),
                UInt64(values),
                UInt32(columns),
                UInt32(features),
                grid_dim=blocks,
                block_dim=256,
            )
            ctx.enqueue_function[expect_exact[dtype]](
                here.unsafe_offset(1),
                exact.unsafe_ptr().unsafe_offset(BEFORE).as_unsafe_any_origin(),
                whole.sums.unsafe_ptr().as_unsafe_any_origin(),
                whole.bias.unsafe_ptr().as_unsafe_any_origin(),
                UInt64(values),
                UInt32(columns),
                grid_dim=blocks,
                block_dim=256,
            )
        expect_all_same(ctx, here.unsafe_offset(3), y, again, len(y))
        comptime if dtype == DType.float32:
            expect_all_same(
                ctx, here.unsafe_offset(4), y, most, BEFORE + values
            )
        # Until here, and not only until the last mention.
        _ = y^
        _ = again^
        _ = exact^
    var problems = String()
    with wrong.map_to_host() as host:
        for i in range(len(counts)):
            for kind in range(KINDS):
                if host[i * KINDS + kind] > 0:
                    problems += String(
                        "; with ",
                        counts[i],
                        " rows ",
                        host[i * KINDS + kind],
                        " ",
                        kinds[kind],
                    )
    var name = String(
        "dense matmul for few tokens, ",
        dtype,
        ", ",
        features,
        " to ",
        columns,
        " features",
    )
    if problems:
        report.failed(name, String(problems.removeprefix("; ")))
    else:
        report.passed(name)
    _ = most^
    _ = random^
    _ = whole^


comptime LATE_BLOCKS = 64
"""Blocks of a kernel that lets the next one begin, and is then late: so few that there is room for others beside it."""
comptime LATE_MICROSECONDS = 50


def fill_late(x: BF16, y: Bytes, values: UInt64, bytes: UInt64, seed: UInt32):
    """What `fill_values` makes, and poison for results, long after the next kernel's blocks may have begun."""
    grid_release()
    for _ in range(LATE_MICROSECONDS):
        sleep(1000)
    var first = Int(global_idx.x)
    for i in range(first, Int(values), LATE_BLOCKS * 256):
        x[unsafe_offset=i] = (
            Float32(Int32(hash32(seed, UInt32(i)))) * Float32(1.0 / (1 << 30))
        ).cast[DType.bfloat16]()
    for i in range(first, Int(bytes), LATE_BLOCKS * 256):
        y[unsafe_offset=i] = POISON


def copy_early(target: Bytes, source: Bytes, bytes: UInt64):
    """Copy what the kernel before makes, begun before it has."""
    grid_wait()
    for i in range(Int(global_idx.x), Int(bytes), LATE_BLOCKS * 256):
        target[unsafe_offset=i] = source[unsafe_offset=i]


def check_overlap[
    dtype: DType
](
    mut report: Report,
    ctx: DeviceContext,
    columns: Int,
    features: Int,
    tokens: Int,
) raises:
    """Tokens that the kernel before writes late are those that count, results come after whatever it writes there, and the
    next kernel sees them all, even where each of the three begins before the one before it has ended.
    """
    var values = tokens * features
    var bytes = tokens * columns * size_of[dtype]()
    var x = ctx.enqueue_create_buffer[DType.bfloat16](values)
    var w = ctx.enqueue_create_buffer[DType.bfloat16](columns * features)
    var bias = ctx.enqueue_create_buffer[DType.bfloat16](columns)
    var wanted = ctx.enqueue_create_buffer[dtype](tokens * columns)
    var y = ctx.enqueue_create_buffer[dtype](tokens * columns)
    var copied = ctx.enqueue_create_buffer[DType.uint8](bytes)
    var wrong = ctx.enqueue_create_buffer[DType.uint32](1)
    wrong.enqueue_fill(0)
    var buffers = [w, bias, x]
    for i in range(3):
        ctx.enqueue_function[fill_values](
            buffers[i].unsafe_ptr().as_unsafe_any_origin(),
            UInt64(len(buffers[i])),
            UInt32(i + 1),
            grid_dim=(len(buffers[i]) + 255) // 256,
            block_dim=256,
        )
    var tokens_at = x.unsafe_ptr().as_unsafe_any_origin()
    var w_at = w.unsafe_ptr().as_unsafe_any_origin()
    var bias_at = bias.unsafe_ptr().as_unsafe_any_origin()
    ctx.synchronize()
    multiply_few[OVERLAP=False](
        wanted.unsafe_ptr().as_unsafe_any_origin(),
        tokens_at,
        w_at,
        bias_at,
        tokens=tokens,
        rows=columns,
        features=features,
        ctx=ctx,
    )
    var results = y.unsafe_ptr().unsafe_bitcast[UInt8]().as_unsafe_any_origin()
    for _ in range(10):
        # Other tokens until the late ones come, which are those of before.
        x.enqueue_fill(1)
        copied.enqueue_fill(0)
        ctx.synchronize()
        ctx.enqueue_function[fill_late](
            tokens_at,
            results,
            UInt64(values),
            UInt64(bytes),
            UInt32(3),
            grid_dim=LATE_BLOCKS,
            block_dim=256,
        )
        multiply_few(
            y.unsafe_ptr().as_unsafe_any_origin(),
            tokens_at,
            w_at,
            bias_at,
            tokens=tokens,
            rows=columns,
            features=features,
            ctx=ctx,
        )
        ctx.enqueue_function[copy_early](
            copied.unsafe_ptr().as_unsafe_any_origin(),
            results,
            UInt64(bytes),
            grid_dim=LATE_BLOCKS,
            block_dim=256,
            attributes=launch_attributes[True](),
        )
        ctx.enqueue_function[expect_same](
            wrong.unsafe_ptr().as_unsafe_any_origin(),
            copied.unsafe_ptr().as_unsafe_any_origin(),
            wanted.unsafe_ptr().unsafe_bitcast[UInt8]().as_unsafe_any_origin(),
            UInt64(bytes),
            grid_dim=(bytes + 255) // 256,
            block_dim=256,
        )
    with wrong.map_to_host() as host:
        report.check(
            String(
                "dense matmul beside others, ", dtype, ", ", tokens, " rows"
            ),
            Int(host[0]),
            "bytes are not those of the kernels one after the other",
        )
    _ = y^
    _ = wanted^
    _ = copied^
    _ = x^
    _ = w^
    _ = bias^


def main() raises:
    var report = Report()
    # MAX's matmul does not compile for no GPU at all, so a machine without one must not get that far.
    comptime if has_accelerator():
        if has_hopper():
            var ctx = DeviceContext()
            var counts: List[Int] = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33]
            counts += [63, 64, 65, 100, 127, 128, 129, 300]
            comptime HALF = DType.bfloat16
            comptime FLOAT = DType.float32
            if smallest_only():
                counts = [1, 9, 65, 129]
                for columns, features in [(100, 72), (1280, 264)]:
                    check_few[HALF](report, ctx, columns, features, counts)
                    check_few[FLOAT](report, ctx, columns, features, counts)
                check_overlap[HALF](report, ctx, 2560, 264, 20)
                check_overlap[FLOAT](report, ctx, 2560, 264, 20)
                report.finish()
                return
            # GPT-OSS's two projections on one device, two and four.
            for columns, features in [(5120, 2880), (2560, 2880), (1280, 2880)]:
                check_few[HALF](report, ctx, columns, features, counts)
            for columns, features in [(2880, 4096), (2880, 2048), (2880, 1024)]:
                check_few[HALF](report, ctx, columns, features, counts)
            # What fills no tile, no step and no four neighbours; one block, and many tiles.
            for columns, features in [(8, 8), (24, 40), (100, 72), (8, 2880)]:
                check_few[HALF](report, ctx, columns, features, counts)
            for columns, features in [(97, 264), (191, 1032), (24600, 136)]:
                check_few[HALF](report, ctx, columns, features, counts)
            # To float32: the same, an odd number of results, and blocks that have one tile more than others.
            for columns, features in [(8, 8), (24, 40), (193, 72), (97, 264)]:
                check_few[FLOAT](report, ctx, columns, features, counts)
            for columns, features in [(192, 2880), (3000, 1032), (25345, 136)]:
                check_few[FLOAT](report, ctx, columns, features, counts)
            for columns, features in [(51000, 264)]:
                check_few[FLOAT](report, ctx, columns, features, counts)
            for tokens in [1, 20, 64, 128]:
                check_overlap[HALF](report, ctx, 5120, 2880, tokens)
                check_overlap[HALF](report, ctx, 2880, 4096, tokens)
                check_overlap[FLOAT](report, ctx, 26000, 2880, tokens)
            for rows in [
                1,
                2,
                6,
                8,
                16,
                33,
                61,
                64,
                65,
                96,
                127,
                128,
                129,
                130,
                300,
            ]:
                # GPT-OSS's output projection, and its head.
                check[DType.bfloat16, 2880, 4096](report, ctx, rows)
                check[DType.float32, 201088, 2880](report, ctx, rows)
            # Whole tiles of tokens, more, and fewer; weights of one device, two and four; and steps that end in the middle.
            for rows in [256, 257, 384, 511, 1000, 2055]:
                check[DType.bfloat16, 5120, 2880](report, ctx, rows)
                check[DType.bfloat16, 2880, 4096](report, ctx, rows)
            for rows in [256, 390]:
                check[DType.bfloat16, 1280, 2880](report, ctx, rows)
                check[DType.bfloat16, 2880, 1024](report, ctx, rows)
                check[DType.bfloat16, 320, 72](report, ctx, rows)
            # The head in each kind of tile, alone and together; and a share of it, which is no whole tiles.
            for rows in [256, 384, 511, 512, 1030]:
                check[DType.float32, 201088, 2880](report, ctx, rows)
            for rows in [128, 300, 512]:
                check[DType.float32, 100544, 2880](report, ctx, rows)
                check[DType.float32, 384, 72](report, ctx, rows)
            report.finish()
            return
    report.skipped("dense matmul", NEEDS_HOPPER)
