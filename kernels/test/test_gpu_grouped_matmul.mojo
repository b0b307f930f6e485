"""The numeric contract of the grouped matmul, on a Hopper GPU, against the float64 reference.

For finite results |y - ref| <= 2^-8 |ref| + K 2^-23 sum|a w|; NaN and infinity must come out where the reference has
them. Inputs are made, and outputs compared, on the device, so every value of every case is checked.
"""

from std.math import ceildiv, exp, isinf, isnan
from std.memory import Pointer, bitcast
from std.atomic import Atomic

from max.gpu import block_idx, global_idx, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.primitives.grid_controls import PDLLevel, pdl_launch_attributes

from harness import NEEDS_HOPPER, Report, has_hopper, hash32, smallest_only
from mxfp4.format import spread_codes
from mxfp4.moe.grouped_matmul.config import BIAS, PLAIN, SWIGLU
from mxfp4.moe.grouped_matmul.decode import decode, has_large
from mxfp4.moe.grouped_matmul.launch import grouped_matmul
from mxfp4.layout import packed_words
from mxfp4.pack import pack_kernel
from mxfp4.ptx import grid_release, grid_wait, sleep
from reference import Bytes, BF16, dot, weight

comptime POISON = UInt16(0x7FDE)
"""A NaN that no computation makes: whoever still holds it was not written."""

comptime HALF_SUBNORMAL = 4.5917748078995606e-41
"""2^-134, half the distance of subnormal bf16."""

comptime Halves = Pointer[UInt16, MutAnyOrigin]
comptime Starts = Pointer[UInt32, MutAnyOrigin]
comptime Ids = Pointer[Int32, MutAnyOrigin]


def fill_bytes(
    target: Bytes, count: UInt64, seed: UInt32, low: UInt32, span: UInt32
):
    """Bytes in [low, low + span)."""
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = UInt8(low + hash32(seed, UInt32(i)) % span)


def fill_halves(target: BF16, count: UInt64, seed: UInt32):
    """Random bf16 in (-2, 2), with a zero now and then."""
    var i = Int(global_idx.x)
    if i < Int(count):
        var bits = hash32(seed, UInt32(i))
        var value = Float32(Int32(bits)) * Float32(1.0 / (1 << 30))
        target[unsafe_offset=i] = (
            BFloat16(0) if bits % 61 == 0 else value.cast[DType.bfloat16]()
        )


def fill_poison(target: Halves, count: UInt64):
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = POISON


def reverse_rows(to: BF16, sources: Starts, x: BF16, m: UInt32, k: UInt32):
    """One block a row: copy the rows of x in reverse order, and say where each now is."""
    var row = Int(block_idx.x)
    var other = Int(m) - 1 - row
    if thread_idx.x == 0:
        sources[unsafe_offset=row] = UInt32(other)
    for i in range(Int(thread_idx.x), Int(k), 256):
        to[unsafe_offset=other * Int(k) + i] = x[unsafe_offset=row * Int(k) + i]


def count_unlike(wrong: Starts, a: Halves, b: Halves, count: UInt64):
    """Count the values whose bits differ."""
    var i = Int(global_idx.x)
    if i < Int(count) and a[unsafe_offset=i] != b[unsafe_offset=i]:
        _ = Atomic.fetch_add(wrong, UInt32(1))


def copy_late(starts: Starts, values: Starts, count: UInt32):
    """Copy start indices long after the next kernel's blocks may have begun."""
    grid_release()
    grid_wait()
    for _ in range(20):
        sleep(1000)
    if thread_idx.x < Int(count):
        starts[unsafe_offset=Int(thread_idx.x)] = values[
            unsafe_offset=Int(thread_idx.x)
        ]


def clamp(value: Float64, low: Float64, high: Float64) -> Float64:
    """Clamp that keeps NaN."""
    var upper = high if value > high else value
    return low if upper < low else upper


def mismatch(
    y: Float64, reference: Float64, bound: Float64, absolute: Float64
) -> Bool:
    """Whether y breaks the contract; `absolute` bounds every partial sum."""
    if isnan(reference):
        return not isnan(y)
    # Beyond the range of float32 a partial sum may already be infinite.
    if absolute >= 3.38e38:
        return False
    # Beyond the range of bf16 the result is infinite, or the largest value.
    if abs(reference) - bound >= 3.4e38:
        return isnan(y) or abs(y) < 3.3e38 or (y > 0) != (reference > 0)
    if abs(reference) + bound >= 3.38e38:
        return isnan(y)
    # A subnormal bf16 is as coarse as 2^-133, whatever its size: half of that is rounding.
    return not (abs(y - reference) <= bound + HALF_SUBNORMAL)


def compare[
    EPILOGUE: Int
](
    wrong: Starts,
    y: BF16,
    x: BF16,
    codes: Bytes,
    scales: Bytes,
    bias: BF16,
    starts: Starts,
    ids: Ids,
    n: UInt32,
    k: UInt32,
    groups: UInt32,
    m: UInt32,
):
    """One thread an output: recompute it in float64 and count what is out of bounds."""
    var outputs = Int(n) // 2 if EPILOGUE == SWIGLU else Int(n)
    var column = Int(global_idx.x)
    var token = Int(block_idx.y)
    if column >= outputs:
        return
    var at = token * outputs + column
    var got = y[unsafe_offset=at]
    var expert = -1
    for group in range(Int(groups)):
        if token >= Int(starts[unsafe_offset=group]) and token < Int(
            starts[unsafe_offset=group + 1]
        ):
            expert = Int(ids[unsafe_offset=group])
    if expert < 0:
        # Nobody's row: it must be untouched.
        if bitcast[DType.uint16, 1](got) != POISON:
            _ = Atomic.fetch_add(wrong, UInt32(1))
        return
    var width = Int(k)
    var rounding = Float64(width) / Float64(1 << 23)
    var row = x.unsafe_offset(token * width)
    var expert_codes = codes.unsafe_offset(expert * Int(n) * (width // 2))
    var expert_scales = scales.unsafe_offset(expert * Int(n) * (width // 32))
    var reference: Float64
    var bound: Float64
    var absolute: Float64
    comptime if EPILOGUE == SWIGLU:
        var gate = dot(row, expert_codes, expert_scales, 2 * column, width)
        var up = dot(row, expert_codes, expert_scales, 2 * column + 1, width)
        var g = clamp(
            gate.value
            + bias[unsafe_offset=expert * Int(n) + 2 * column].cast[
                DType.float64
            ](),
            -1e300,
            7.0,
        )
        var u = clamp(
            up.value
            + bias[unsafe_offset=expert * Int(n) + 2 * column + 1].cast[
                DType.float64
            ](),
            -7.0,
            7.0,
        )
        absolute = gate.absolute + up.absolute
        var sigmoid = 1.0 / (1.0 + Float64(exp(Float32(-1.702 * g))))
        reference = (u + 1) * g * sigmoid
        # |d/dg g sigmoid(1.702 g)| < 1.1, |d/du| = |g sigmoid|; exponential and division in float32 add 2^-18.
        bound = (
            (1.0 / 256 + 1.0 / (1 << 18)) * abs(reference)
            + rounding
            * (1.1 * abs(u + 1) * gate.absolute + abs(g) * up.absolute)
            + 1e-30
        )
    else:
        var sum = dot(row, expert_codes, expert_scales, column, width)
        reference = sum.value
        absolute = sum.absolute
        var extra = Float64(0)
        comptime if EPILOGUE == BIAS:
            extra = bias[unsafe_offset=expert * Int(n) + column].cast[
                DType.float64
            ]()
        reference += extra
        bound = abs(reference) / 256 + rounding * (sum.absolute + abs(extra))
    if (
        mismatch(got.cast[DType.float64](), reference, bound, absolute)
        or bitcast[DType.uint16, 1](got) == POISON
    ):
        _ = Atomic.fetch_add(wrong, UInt32(1))


def compare_decode(wrong: Starts):
    """One thread a pair of codes and a scale: all 16 registers of the decode."""
    var pair = UInt32(thread_idx.x)
    var scale = UInt32(block_idx.x)
    var word = UInt32(0)
    comptime for reg in range(4):
        word |= spread_codes((pair & 15) | ((pair >> 4) << 16), reg)
    # Four scales, all of them small or all of them large, so that the short decode is seen with unlike scales as well.
    var scales = scale * 0x0101_0101 ^ 0x0704_0100
    var a = decode(SIMD[DType.uint32, 4](word), scales, has_large(scales))
    comptime for i in range(16):
        comptime for half in range(2):
            var got = bitcast[DType.bfloat16, 1](
                UInt16((a[i] >> UInt32(16 * half)) & 0xFFFF)
            ).cast[DType.float64]()
            # Register r of step s is row r % 2 and block s / 2.
            comptime byte = i % 2 * 2 + i // 8
            var want = weight(
                (pair >> UInt32(4 * half)) & 15,
                (scales >> UInt32(8 * byte)) & 255,
            )
            if not (got == want or (isnan(got) and isnan(want))):
                _ = Atomic.fetch_add(wrong, UInt32(1))


def check_decode(mut report: Report, ctx: DeviceContext) raises:
    """Decode every pair of codes with every scale on the device."""
    var wrong = ctx.enqueue_create_buffer[DType.uint32](1)
    wrong.enqueue_fill(0)
    ctx.enqueue_function[compare_decode](wrong, grid_dim=256, block_dim=256)
    with wrong.map_to_host() as host:
        report.check(
            "every code with every scale, decoded on the device",
            Int(host[0]),
            "weights differ",
        )


@fieldwise_init
struct Case(Copyable, Movable):
    """One call of the grouped matmul; `sizes[g]` rows go to expert `ids[g]`."""

    var experts: Int
    var n: Int
    var k: Int
    var sizes: List[Int]
    var ids: List[Int]
    var scale_low: Int
    var scale_span: Int
    var seed: Int

    def rows(self) -> Int:
        var total = 0
        for size in self.sizes:
            total += size
        return total


def blocks_for(count: Int) -> Int:
    return max(1, ceildiv(count, 256))


def run_case[EPILOGUE: Int](case_: Case, ctx: DeviceContext) raises -> Int:
    """Run one case and count the wrong outputs."""
    var experts = case_.experts
    var n = case_.n
    var k = case_.k
    var m = case_.rows()
    var groups = len(case_.sizes)
    var outputs = n // 2 if EPILOGUE == SWIGLU else n
    var seed = UInt32(case_.seed * 16)

    var codes = ctx.enqueue_create_buffer[DType.uint8](experts * n * k // 2)
    var scales = ctx.enqueue_create_buffer[DType.uint8](experts * n * k // 32)
    var packed = ctx.enqueue_create_buffer[DType.uint32](
        experts * packed_words(n, k)
    )
    var x = ctx.enqueue_create_buffer[DType.bfloat16](max(m * k, 1))
    var y = ctx.enqueue_create_buffer[DType.bfloat16](max(m * outputs, 1))
    var bias = ctx.enqueue_create_buffer[DType.bfloat16](experts * n)
    var starts = ctx.enqueue_create_buffer[DType.uint32](groups + 1)
    var ids = ctx.enqueue_create_buffer[DType.int32](max(groups, 1))
    var wrong = ctx.enqueue_create_buffer[DType.uint32](1)
    with starts.map_to_host() as host:
        var at = 0
        for g in range(groups):
            host[g] = UInt32(at)
            at += case_.sizes[g]
        host[groups] = UInt32(at)
    with ids.map_to_host() as host:
        for g in range(groups):
            host[g] = Int32(case_.ids[g])
    wrong.enqueue_fill(0)

    ctx.enqueue_function[fill_bytes](
        codes,
        UInt64(len(codes)),
        seed + 1,
        UInt32(0),
        UInt32(256),
        grid_dim=blocks_for(len(codes)),
        block_dim=256,
    )
    ctx.enqueue_function[fill_bytes](
        scales,
        UInt64(len(scales)),
        seed + 2,
        UInt32(case_.scale_low),
        UInt32(case_.scale_span),
        grid_dim=blocks_for(len(scales)),
        block_dim=256,
    )
    ctx.enqueue_function[fill_halves](
        x, UInt64(m * k), seed + 3, grid_dim=blocks_for(m * k), block_dim=256
    )
    ctx.enqueue_function[fill_halves](
        bias,
        UInt64(len(bias)),
        seed + 4,
        grid_dim=blocks_for(len(bias)),
        block_dim=256,
    )
    ctx.enqueue_function[fill_poison](
        y.unsafe_ptr().unsafe_bitcast[UInt16]().as_unsafe_any_origin(),
        UInt64(m * outputs),
        grid_dim=blocks_for(m * outputs),
        block_dim=256,
    )
    ctx.enqueue_function[pack_kernel](
        packed,
        codes,
        scales,
        UInt32(n),
        UInt32(k),
        UInt64(len(packed)),
        grid_dim=blocks_for(len(packed)),
        block_dim=256,
    )
    var counter = ctx.enqueue_create_buffer[DType.uint32](1)
    counter.enqueue_fill(0)
    # The bare product has static units, the others dynamic ones.
    var address = UInt64(0)
    comptime if EPILOGUE != PLAIN:
        address = UInt64(Int(counter.unsafe_ptr()))
    grouped_matmul[EPILOGUE](
        y.unsafe_ptr().as_unsafe_any_origin(),
        x.unsafe_ptr().as_unsafe_any_origin(),
        starts.unsafe_ptr().as_unsafe_any_origin(),
        packed.unsafe_ptr().unsafe_bitcast[UInt8]().as_unsafe_any_origin(),
        bias.unsafe_ptr().as_unsafe_any_origin(),
        starts.unsafe_ptr().as_unsafe_any_origin(),
        ids.unsafe_ptr().as_unsafe_any_origin(),
        m=m,
        n=n,
        k=k,
        groups=groups,
        ctx=ctx,
        counter=address,
    )
    if m > 0:
        ctx.enqueue_function[compare[EPILOGUE]](
            wrong,
            y,
            x,
            codes,
            scales,
            bias,
            starts,
            ids,
            UInt32(n),
            UInt32(k),
            UInt32(groups),
            UInt32(m),
            grid_dim=(ceildiv(outputs, 128), m),
            block_dim=128,
        )
    # The same rows, gathered from a matrix that holds them in another order, must give the same bits.
    comptime if EPILOGUE == SWIGLU:
        var shuffled = ctx.enqueue_create_buffer[DType.bfloat16](max(m * k, 1))
        var sources = ctx.enqueue_create_buffer[DType.uint32](max(m, 1))
        var gathered = ctx.enqueue_create_buffer[DType.bfloat16](
            max(m * outputs, 1)
        )
        ctx.enqueue_function[fill_poison](
            gathered.unsafe_ptr()
            .unsafe_bitcast[UInt16]()
            .as_unsafe_any_origin(),
            UInt64(m * outputs),
            grid_dim=blocks_for(m * outputs),
            block_dim=256,
        )
        if m > 0:
            ctx.enqueue_function[reverse_rows](
                shuffled,
                sources,
                x,
                UInt32(m),
                UInt32(k),
                grid_dim=m,
                block_dim=256,
            )
        grouped_matmul[EPILOGUE, GATHER=True](
            gathered.unsafe_ptr().as_unsafe_any_origin(),
            shuffled.unsafe_ptr().as_unsafe_any_origin(),
            sources.unsafe_ptr().as_unsafe_any_origin(),
            packed.unsafe_ptr().unsafe_bitcast[UInt8]().as_unsafe_any_origin(),
            bias.unsafe_ptr().as_unsafe_any_origin(),
            starts.unsafe_ptr().as_unsafe_any_origin(),
            ids.unsafe_ptr().as_unsafe_any_origin(),
            m=m,
            n=n,
            k=k,
            groups=groups,
            ctx=ctx,
        )
        ctx.enqueue_function[count_unlike](
            wrong,
            y.unsafe_ptr().unsafe_bitcast[UInt16]().as_unsafe_any_origin(),
            gathered.unsafe_ptr()
            .unsafe_bitcast[UInt16]()
            .as_unsafe_any_origin(),
            UInt64(m * outputs),
            grid_dim=blocks_for(m * outputs),
            block_dim=256,
        )
    with wrong.map_to_host() as host, counter.map_to_host() as left:
        # A counter that is not 0 again would spoil the next product.
        return Int(host[0]) + Int(left[0])


def even(groups: Int, size: Int) -> List[Int]:
    return List(length=groups, fill=size)


def all_ids(groups: Int) -> List[Int]:
    return [g for g in range(groups)]


def check(
    mut report: Report, name: String, case_: Case, ctx: DeviceContext
) raises:
    """Check a case with all three epilogues."""
    var wrong = (
        run_case[PLAIN](case_, ctx)
        + run_case[BIAS](case_, ctx)
        + run_case[SWIGLU](case_, ctx)
    )
    report.check(name, wrong, "outputs break the numeric contract")


def check_chain(mut report: Report, tokens: Int, ctx: DeviceContext) raises:
    """Layers of GPT-OSS's two products one behind the other, whose launches overlap, against the same products one by one.

    All rounds share the start indices, which are made shortly before they are used, and what the first product makes.
    """
    comptime ROUNDS = 12
    comptime EXPERTS = 32
    comptime WIDTH = 512
    var m = tokens * 4
    var up = ctx.enqueue_create_buffer[DType.uint32](
        EXPERTS * packed_words(2 * WIDTH, WIDTH)
    )
    var down = ctx.enqueue_create_buffer[DType.uint32](
        EXPERTS * packed_words(WIDTH, WIDTH)
    )
    var x = ctx.enqueue_create_buffer[DType.bfloat16](m * WIDTH)
    var bias = ctx.enqueue_create_buffer[DType.bfloat16](EXPERTS * 2 * WIDTH)
    var middle = ctx.enqueue_create_buffer[DType.bfloat16](m * WIDTH)
    var wanted = ctx.enqueue_create_buffer[DType.bfloat16](ROUNDS * m * WIDTH)
    var got = ctx.enqueue_create_buffer[DType.bfloat16](ROUNDS * m * WIDTH)
    var table = ctx.enqueue_create_buffer[DType.uint32](ROUNDS * (EXPERTS + 1))
    var starts = ctx.enqueue_create_buffer[DType.uint32](EXPERTS + 1)
    var sources = ctx.enqueue_create_buffer[DType.uint32](m)
    var ids = ctx.enqueue_create_buffer[DType.int32](EXPERTS)
    var wrong = ctx.enqueue_create_buffer[DType.uint32](1)
    with table.map_to_host() as host:
        for r in range(ROUNDS):
            var sizes = even(EXPERTS, 0)
            for row in range(m):
                # The later the round, the fewer experts.
                sizes[
                    Int(
                        hash32(UInt32(r), UInt32(row)) % UInt32(EXPERTS - 2 * r)
                    )
                ] += 1
            var at = 0
            for g in range(EXPERTS + 1):
                host[r * (EXPERTS + 1) + g] = UInt32(at)
                at += sizes[g] if g < EXPERTS else 0
    with sources.map_to_host() as host:
        for row in range(m):
            host[row] = UInt32(m - 1 - row)
    with ids.map_to_host() as host:
        for g in range(EXPERTS):
            host[g] = Int32(EXPERTS - 1 - g)
    wrong.enqueue_fill(0)
    # Scales of 119 to 121, and any codes.
    for each in [up, down]:
        ctx.enqueue_function[fill_bytes](
            each.unsafe_ptr().unsafe_bitcast[UInt8]().as_unsafe_any_origin(),
            UInt64(4 * len(each)),
            UInt32(len(each)),
            UInt32(119),
            UInt32(3),
            grid_dim=blocks_for(4 * len(each)),
            block_dim=256,
        )
    for each in [x, bias]:
        ctx.enqueue_function[fill_halves](
            each,
            UInt64(len(each)),
            UInt32(len(each)),
            grid_dim=blocks_for(len(each)),
            block_dim=256,
        )
    var counters = ctx.enqueue_create_buffer[DType.uint32](2)
    counters.enqueue_fill(0)
    for overlapping in [False, True]:
        ref target = got if overlapping else wanted
        target.enqueue_fill(0)
        for r in range(ROUNDS):
            ctx.enqueue_function[copy_late](
                starts,
                table.unsafe_ptr().unsafe_offset(r * (EXPERTS + 1)),
                UInt32(EXPERTS + 1),
                grid_dim=1,
                block_dim=64,
                attributes=pdl_launch_attributes(PDLLevel.ON),
            )
            if not overlapping:
                ctx.synchronize()
            grouped_matmul[SWIGLU, GATHER=True](
                middle.unsafe_ptr().as_unsafe_any_origin(),
                x.unsafe_ptr().as_unsafe_any_origin(),
                sources.unsafe_ptr().as_unsafe_any_origin(),
                up.unsafe_ptr().unsafe_bitcast[UInt8]().as_unsafe_any_origin(),
                bias.unsafe_ptr().as_unsafe_any_origin(),
                starts.unsafe_ptr().as_unsafe_any_origin(),
                ids.unsafe_ptr().as_unsafe_any_origin(),
                m=m,
                n=2 * WIDTH,
                k=WIDTH,
                groups=EXPERTS,
                ctx=ctx,
                counter=UInt64(Int(counters.unsafe_ptr())),
            )
            var result = (
                target.unsafe_ptr()
                .unsafe_offset(r * m * WIDTH)
                .as_unsafe_any_origin()
            )
            var weights = (
                down.unsafe_ptr().unsafe_bitcast[UInt8]().as_unsafe_any_origin()
            )
            if overlapping:
                grouped_matmul[BIAS, AFTER_PRODUCT=True](
                    result,
                    middle.unsafe_ptr().as_unsafe_any_origin(),
                    sources.unsafe_ptr().as_unsafe_any_origin(),
                    weights,
                    bias.unsafe_ptr().as_unsafe_any_origin(),
                    starts.unsafe_ptr().as_unsafe_any_origin(),
                    ids.unsafe_ptr().as_unsafe_any_origin(),
                    m=m,
                    n=WIDTH,
                    k=WIDTH,
                    groups=EXPERTS,
                    ctx=ctx,
                    counter=UInt64(Int(counters.unsafe_ptr()) + 4),
                )
            else:
                ctx.synchronize()
                grouped_matmul[BIAS](
                    result,
                    middle.unsafe_ptr().as_unsafe_any_origin(),
                    sources.unsafe_ptr().as_unsafe_any_origin(),
                    weights,
                    bias.unsafe_ptr().as_unsafe_any_origin(),
                    starts.unsafe_ptr().as_unsafe_any_origin(),
                    ids.unsafe_ptr().as_unsafe_any_origin(),
                    m=m,
                    n=WIDTH,
                    k=WIDTH,
                    groups=EXPERTS,
                    ctx=ctx,
                )
                ctx.synchronize()
    ctx.enqueue_function[count_unlike](
        wrong,
        wanted.unsafe_ptr().unsafe_bitcast[UInt16]().as_unsafe_any_origin(),
        got.unsafe_ptr().unsafe_bitcast[UInt16]().as_unsafe_any_origin(),
        UInt64(len(got)),
        grid_dim=blocks_for(len(got)),
        block_dim=256,
    )
    with wrong.map_to_host() as host:
        report.check(
            String("layers that overlap, ", tokens, " tokens"),
            Int(host[0]),
            "values are not those of one product after the other",
        )
    _ = counters^


def random_case(index: Int, mut tokens: Int) -> Case:
    """Tokens 0 to 4096, spread evenly or piled up on few experts, many experts empty; scales 0x60 to 0x9f."""
    var seed = UInt32(7000 + index)
    var experts = Int(1 + hash32(seed, 1) % 16)
    var n = 32 * Int(1 + hash32(seed, 2) % 12)
    var k = 32 * Int(1 + hash32(seed, 3) % 12)
    # Every size class, from one token to the largest tile.
    var bits = hash32(seed, 4) % 13
    tokens = (
        Int(hash32(seed, 5) % (UInt32(2) << bits)) if index % 29 != 0 else 0
    )
    if index % 31 == 0:
        tokens = 4096
    var sizes = even(experts, 0)
    var left = tokens
    var skew = hash32(seed, 6) % 3
    var draw = UInt32(100)
    while left > 0:
        var at = Int(hash32(seed, draw) % UInt32(experts))
        if skew == 1:
            at = at % max(1, experts // 4)
        var part = 1 + Int(
            hash32(seed, draw + 1)
            % UInt32(max(1, left // (4 if skew == 0 else 1)))
        )
        sizes[at] += min(part, left)
        left -= min(part, left)
        draw += 2
    var ids = all_ids(experts)
    # Groups need not stand in the order of the experts.
    for g in range(experts):
        var other = Int(hash32(seed, 50 + UInt32(g)) % UInt32(experts))
        var id = ids[g]
        ids[g] = ids[other]
        ids[other] = id
    return Case(experts, n, k, sizes^, ids^, 0x60, 0x40, index)


def main() raises:
    var report = Report()
    var quick = smallest_only()
    comptime random_cases = 240
    if not has_hopper():
        report.skipped("decode on the device", NEEDS_HOPPER)
        report.skipped("numeric contract over random cases", NEEDS_HOPPER)
        report.skipped("numeric contract over chosen cases", NEEDS_HOPPER)
        return
    var ctx = DeviceContext()

    check_decode(report, ctx)
    check(
        report,
        "one token, one expert",
        Case(1, 64, 64, [1], [0], 0x77, 3, 1),
        ctx,
    )
    check(report, "smallest shape", Case(1, 32, 32, [3], [0], 0x77, 3, 2), ctx)
    check(
        report,
        "no token",
        Case(4, 64, 64, [0, 0, 0, 0], [0, 1, 2, 3], 0x77, 3, 3),
        ctx,
    )
    check(
        report,
        "experts without tokens",
        Case(4, 96, 160, [0, 5, 0, 9], [0, 1, 2, 3], 0x77, 3, 4),
        ctx,
    )
    check(
        report,
        "a group with a negative expert id is skipped",
        Case(4, 96, 96, [3, 4, 5, 6], [2, -1, 0, 3], 0x77, 3, 5),
        ctx,
    )
    check(
        report,
        "all tokens on one of many experts",
        Case(8, 128, 128, [0, 0, 300, 0, 0, 0, 0, 0], all_ids(8), 0x77, 3, 6),
        ctx,
    )
    for size in [1, 7, 8, 9, 17, 33, 65, 129, 257]:
        check(
            report,
            String(size) + " tokens an expert",
            Case(3, 160, 224, even(3, size), all_ids(3), 0x60, 0x40, 10 + size),
            ctx,
        )
    if quick:
        report.finish()
        return

    check(
        report,
        "scales over the whole range",
        Case(4, 128, 128, [5, 40, 0, 9], all_ids(4), 0, 255, 300),
        ctx,
    )
    check(
        report,
        "scale 0x00: the smallest weights",
        Case(2, 128, 128, [5, 40], all_ids(2), 0, 1, 301),
        ctx,
    )
    check(
        report,
        "scale 0x80 and 0x81: where one multiplication ends",
        Case(2, 128, 128, [5, 40], all_ids(2), 0x80, 2, 302),
        ctx,
    )
    check(
        report,
        "scale 0xfe: weights that overflow",
        Case(2, 128, 128, [5, 40], all_ids(2), 0xFE, 1, 303),
        ctx,
    )
    check(
        report,
        "scale 0xff: NaN",
        Case(2, 128, 128, [5, 40], all_ids(2), 0xFE, 2, 304),
        ctx,
    )
    check(
        report,
        "1024 groups",
        Case(
            2, 64, 64, even(1024, 1), [g % 2 for g in range(1024)], 0x77, 3, 305
        ),
        ctx,
    )
    for tokens in [1, 4, 16, 128, 1024]:
        var sizes = even(32, tokens * 4 // 32)
        for extra in range(tokens * 4 % 32):
            sizes[(extra * 7) % 32] += 1
        check(
            report,
            "gpt-oss gate_up, " + String(tokens) + " tokens",
            Case(
                32, 5760, 2880, sizes.copy(), all_ids(32), 0x77, 3, 400 + tokens
            ),
            ctx,
        )
        check(
            report,
            "gpt-oss down, " + String(tokens) + " tokens",
            Case(
                32, 2880, 2880, sizes.copy(), all_ids(32), 0x77, 3, 500 + tokens
            ),
            ctx,
        )

    for tokens in [2, 24, 90, 96, 300, 700, 2500]:
        # Every token takes four experts at random.
        var sizes = even(32, 0)
        for row in range(tokens * 4):
            sizes[Int(hash32(UInt32(tokens), UInt32(row)) % 32)] += 1
        check(
            report,
            "gpt-oss gate_up, " + String(tokens) + " tokens, uneven experts",
            Case(
                32, 5760, 2880, sizes.copy(), all_ids(32), 0x77, 3, 600 + tokens
            ),
            ctx,
        )
        check(
            report,
            "gpt-oss down, " + String(tokens) + " tokens, uneven experts",
            Case(
                32, 2880, 2880, sizes.copy(), all_ids(32), 0x77, 3, 700 + tokens
            ),
            ctx,
        )

    # GPT-OSS-120B's 128 experts; and what two or four GPUs have of a layer each, cut in whole blocks of 32.
    for experts, n, k in [
        (128, 5760, 2880),
        (128, 2880, 2880),
        (32, 2880, 2880),
        (32, 2880, 1440),
        (32, 1472, 2880),
        (32, 1408, 2880),
        (32, 2880, 736),
        (32, 2880, 704),
    ]:
        for tokens in [1, 64, 1000]:
            var sizes = even(experts, 0)
            for row in range(tokens * 4):
                sizes[
                    Int(hash32(UInt32(tokens), UInt32(row)) % UInt32(experts))
                ] += 1
            check(
                report,
                String(
                    experts, " experts, ", k, " to ", n, ", ", tokens, " tokens"
                ),
                Case(experts, n, k, sizes^, all_ids(experts), 0x77, 3, 800),
                ctx,
            )

    for tokens in [1, 8, 30, 64, 200, 1000]:
        check_chain(report, tokens, ctx)

    var wrong = 0
    var broken = 0
    for index in range(random_cases):
        var tokens = 0
        var case_ = random_case(index, tokens)
        var bad = run_case[PLAIN](case_, ctx)
        if index % 2 == 0:
            bad += run_case[BIAS](case_, ctx)
        else:
            bad += run_case[SWIGLU](case_, ctx)
        wrong += bad
        broken += Int(bad > 0)
        if bad > 0:
            print(
                "random case",
                index,
                "tokens",
                tokens,
                "experts",
                case_.experts,
                "n",
                case_.n,
                "k",
                case_.k,
                "wrong",
                bad,
            )
    report.check(
        "numeric contract over " + String(random_cases) + " random cases",
        wrong,
        "outputs break it, in " + String(broken) + " cases",
    )
    report.finish()
