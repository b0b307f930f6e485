"""Time the grouped matmul on GPT-OSS shapes: one line a row, microseconds a call.

Each row is the mean over launches that follow each other, with the groups' experts rotated from launch to launch, so
that weights come from memory and not from L2. GB/s counts the packed bytes of the experts that have tokens, TFLOP/s the
routed rows. Random routing: every token takes 4 of 32 experts.
"""

from std.time import perf_counter_ns

from max.gpu import global_idx
from max.gpu.host import DeviceBuffer, DeviceContext

from harness import NEEDS_HOPPER, has_hopper, hash32
from mxfp4.grouped_matmul import BIAS, SWIGLU, grouped_matmul
from mxfp4.layout import Bytes

comptime EXPERTS = 32
comptime TOP = 4
comptime HIDDEN = 2880


def fill(target: Bytes, count: UInt64, seed: UInt32, low: UInt32, span: UInt32):
    var i = Int(global_idx.x)
    if i < Int(count):
        target[unsafe_offset=i] = UInt8(low + hash32(seed, UInt32(i)) % span)


def random_bytes(
    ctx: DeviceContext, count: Int, seed: UInt32, low: UInt32, span: UInt32
) raises -> DeviceBuffer[DType.uint8]:
    var buffer = ctx.enqueue_create_buffer[DType.uint8](count)
    ctx.enqueue_function[fill](
        buffer,
        UInt64(count),
        seed,
        low,
        span,
        grid_dim=(count + 255) // 256,
        block_dim=256,
    )
    return buffer^


def bench[
    EPILOGUE: Int
](ctx: DeviceContext, name: String, n: Int, tokens: Int) raises:
    var k = HIDDEN
    var m = tokens * TOP
    var codes = random_bytes(ctx, EXPERTS * n * k // 2, 1, 0, 256)
    var scales = random_bytes(ctx, EXPERTS * n * k // 32, 2, 119, 3)
    # bf16 with the high byte in [0x3c, 0x3f]: normal numbers about 2^-7 to 1.
    var x = random_bytes(ctx, m * k * 2, 3, 0x3C, 4)
    var y = ctx.enqueue_create_buffer[DType.bfloat16](m * n)
    var bias = random_bytes(ctx, EXPERTS * n * 2, 4, 0x3C, 4)
    var starts = ctx.enqueue_create_buffer[DType.uint32](EXPERTS + 1)
    comptime rounds = 20
    var ids = ctx.enqueue_create_buffer[DType.int32](EXPERTS * rounds)
    var sizes = List(length=EXPERTS, fill=0)
    for token in range(tokens):
        # Four distinct experts a token.
        var taken = List[Int]()
        var draw = UInt32(0)
        while len(taken) < TOP:
            var expert = Int(hash32(UInt32(token) + 77, draw) % EXPERTS)
            draw += 1
            if expert not in taken:
                taken.append(expert)
                sizes[expert] += 1
    var active = 0
    with starts.map_to_host() as host:
        var at = 0
        for e in range(EXPERTS):
            host[e] = UInt32(at)
            at += sizes[e]
            active += Int(sizes[e] > 0)
        host[EXPERTS] = UInt32(at)
    with ids.map_to_host() as host:
        for r in range(rounds):
            for e in range(EXPERTS):
                host[r * EXPERTS + e] = Int32((e + 7 * r) % EXPERTS)

    @__parameter
    def once(round: Int) raises:
        grouped_matmul[EPILOGUE](
            y.unsafe_ptr().as_unsafe_any_origin(),
            x.unsafe_ptr().unsafe_bitcast[BFloat16]().as_unsafe_any_origin(),
            codes.unsafe_ptr().as_unsafe_any_origin(),
            scales.unsafe_ptr().as_unsafe_any_origin(),
            bias.unsafe_ptr().unsafe_bitcast[BFloat16]().as_unsafe_any_origin(),
            starts.unsafe_ptr().as_unsafe_any_origin(),
            ids.unsafe_ptr()
            .unsafe_offset(round * EXPERTS)
            .as_unsafe_any_origin(),
            m=m,
            n=n,
            k=k,
            groups=EXPERTS,
            ctx=ctx,
        )

    for round in range(3):
        once(round)
    ctx.synchronize()
    var start = perf_counter_ns()
    for round in range(rounds):
        once(round)
    ctx.synchronize()
    var us = Float64(perf_counter_ns() - start) / 1e3 / rounds
    var gbs = Float64(active * n * (k // 2 + k // 32)) / us / 1e3
    var tflops = Float64(2 * m * n) * Float64(k) / us / 1e6
    print(
        name,
        "tokens",
        tokens,
        "experts",
        active,
        " ",
        us,
        "us ",
        gbs,
        "GB/s ",
        tflops,
        "TFLOP/s",
    )


def main() raises:
    if not has_hopper():
        print(NEEDS_HOPPER)
        return
    var ctx = DeviceContext()
    for tokens in [
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        512,
        1024,
        2048,
        4096,
        8192,
    ]:
        bench[SWIGLU](ctx, "gate_up", 2 * HIDDEN, tokens)
        bench[BIAS](ctx, "down   ", HIDDEN, tokens)
