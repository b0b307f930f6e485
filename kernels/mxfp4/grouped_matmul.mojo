"""The MXFP4 x bf16 grouped matmul for Hopper (sm_90a): y[rows of g] = x[rows of g] @ dequantize(w[expert of g])^T.

One persistent kernel, read from top to bottom: shared-memory plan, barriers, producers, consumers, epilogue.

- Weights are the A operand of WGMMA, from registers: 16 bytes of codes a lane, decoded by bit operations, never written
  back. Tokens are the B operand, from shared memory. So weight rows fill the 64 rows of the instruction, and a batch
  of 8 tokens wastes nothing.
- A thread block has three warpgroups. In the first, one thread streams weights (`cp.async.bulk`) and two warps gather
  tokens (`cp.async`, 16 bytes a lane, written in the 128-byte swizzle that WGMMA reads). The other two multiply, 64
  weight rows each. A ring of `STAGES` slots of 64 columns of K stands between them, with a full and an empty barrier
  a slot.
- All shapes are runtime values; only the number of tokens in a tile is compiled in (`TOKENS`).

The numeric contract: see `format.mojo`; products are accumulated in float32, the epilogue is float32, and the result is
rounded to bf16 once.
"""

from std.math import ceildiv, exp
from std.memory import Pointer, bitcast
from std.sys.info import _is_sm_9x
from std.utils.static_tuple import StaticTuple

from max.gpu import (
    MAX_THREADS_PER_BLOCK_METADATA,
    barrier,
    block_idx,
    grid_dim,
    thread_idx,
)
from max.gpu.compute.mma import (
    WGMMADescriptor,
    wgmma_async,
    wgmma_commit_group_sync,
    wgmma_fence_aligned,
    wgmma_wait_group_sync,
)
from max.gpu.host import DeviceAttribute, DeviceContext, FuncAttribute
from max.gpu.intrinsics import warpgroup_reg_alloc, warpgroup_reg_dealloc
from max.gpu.memory import AddressSpace, external_memory

from .format import (
    excess_multiplier,
    gather_codes,
    multiply_pairs,
    scale_multiplier,
)
from .layout import Bytes, TILE, TILE_SCALES, TILE_WORDS
from .ptx import (
    any_lane,
    barrier_arrive,
    barrier_arrive_expect,
    barrier_init,
    barrier_init_fence,
    barrier_wait,
    bulk_copy,
    copy16,
    copy_commit,
    copy_wait,
    hold,
    pin,
    proxy_fence,
)
from .scheduler import ExpertIds, GroupStarts, count_tiles, tile_at

comptime Half = Pointer[BFloat16, MutAnyOrigin]

comptime CONSUMERS = 2
"""Warpgroups that multiply."""
comptime ROWS = CONSUMERS * TILE
"""Weight rows in a tile of work."""
comptime THREADS = 128 * (1 + CONSUMERS)
comptime TOKEN_THREADS = 64
"""Threads that copy tokens: eight 16-byte pieces make a row of 64 columns, so eight rows a pass."""
comptime MAX_GROUPS = 1024
"""Most expert groups in one call: their tile counts live in shared memory."""

comptime CODE_BYTES = ROWS * TILE // 2
comptime SCALE_BYTES = ROWS * TILE // 32

comptime PLAIN = 0
"""Epilogue: y = x w^T."""
comptime BIAS = 1
"""Epilogue: y = x w^T + b."""
comptime SWIGLU = 2
"""Epilogue: GPT-OSS's gated activation of x w^T + b, gate in even and up in odd weight rows."""

comptime SWIGLU_ALPHA = Float32(1.702)
comptime SWIGLU_LIMIT = Float32(7.0)


@always_inline
def stages[tokens: Int]() -> Int:
    """Slots of the ring: as deep as shared memory allows, at most 24."""
    comptime budget = 220 * 1024
    return min(24, budget // (tokens * TILE * 2 + CODE_BYTES + SCALE_BYTES))


@always_inline
def shared_bytes[tokens: Int]() -> Int:
    """Dynamic shared memory of the kernel, in bytes; must not exceed the 227 KiB of a thread block on sm_90."""
    comptime slots = stages[tokens]()
    return (
        slots * (tokens * TILE * 2 + CODE_BYTES + SCALE_BYTES + 16)
        + 4 * MAX_GROUPS
    )


@always_inline
def decode(
    codes: SIMD[DType.uint32, 4], scales: UInt32
) -> SIMD[DType.uint32, 16]:
    """Turn a lane's 32 codes into the A registers of four k steps.

    Args:
        codes: One word a k step.
        scales: Four bytes, [2 rows][2 blocks of 32 columns].

    Returns:
        Pairs of bf16; register r of step s at index 4s + r.
    """
    var a = SIMD[DType.uint32, 16]()
    var factors = SIMD[DType.uint32, 4]()
    comptime for i in range(4):
        factors[i] = scale_multiplier(min((scales >> UInt32(8 * i)) & 255, 128))
    comptime for s in range(4):
        comptime for r in range(4):
            a[4 * s + r] = multiply_pairs(
                gather_codes[r](codes[s]), factors[(r & 1) * 2 + (s >> 1)]
            )
    # NOTE: 2^(scale - 1) is not a bf16 for scales above 128 (weights of 2 and more), which no trained model has. The
    # branch is uniform over the warp, because WGMMA needs its lanes together.
    if any_lane((scales & 0x8080_8080) != 0):
        # `pin` keeps the compiler from computing both sides and selecting, which would cost every step 50 instructions.
        var large = pin(scales)
        comptime for i in range(4):
            factors[i] = excess_multiplier((large >> UInt32(8 * i)) & 255)
        comptime for s in range(4):
            comptime for r in range(4):
                a[4 * s + r] = multiply_pairs(
                    a[4 * s + r], factors[(r & 1) * 2 + (s >> 1)]
                )
    return a


@always_inline
def swiglu(gate: Float32, up: Float32) -> Float32:
    """GPT-OSS's gated activation: (up + 1) * gate * sigmoid(alpha * gate), both clamped first."""
    # Not `min` and `max`: those drop a NaN, and a broken weight would come out as a plausible number.
    var g = SWIGLU_LIMIT if gate > SWIGLU_LIMIT else gate
    var u = SWIGLU_LIMIT if up > SWIGLU_LIMIT else up
    u = -SWIGLU_LIMIT if u < -SWIGLU_LIMIT else u
    # The quotient first: (u + 1) * g can overflow where the sigmoid is zero.
    return (u + 1) * (g / (1 + exp(-SWIGLU_ALPHA * g)))


struct Ring[slots: Int](TrivialRegisterPassable):
    """A position in the ring; every role keeps its own and they all walk the same sequence of tiles and steps."""

    var slot: UInt32
    """Index of the slot."""
    var phase: UInt32
    """Parity of the pass over the ring, as the barriers of the slot count it."""

    def __init__(out self):
        self.slot = 0
        self.phase = 0

    @always_inline
    def advance(mut self):
        """Go on to the next slot."""
        self.slot += 1
        if self.slot == UInt32(Self.slots):
            self.slot = 0
            self.phase ^= 1


@always_inline
def multiply[
    TOKENS: Int
](
    sums: SIMD[DType.float32, TOKENS // 2],
    a: SIMD[DType.uint32, 16],
    descriptor: Int64,
) -> SIMD[DType.float32, TOKENS // 2]:
    """Start sums += A B over four k steps as one group of WGMMA; `a` must stay in its registers until the wait."""
    var result = sums
    wgmma_fence_aligned()
    comptime for s in range(4):
        result = wgmma_async[
            64, TOKENS, 16, a_type=DType.bfloat16, b_type=DType.bfloat16
        ](
            bitcast[DType.bfloat16, 8](a.slice[4, offset=4 * s]()),
            # A k step is 32 bytes further in every row; descriptors count in 16.
            WGMMADescriptor[DType.bfloat16](descriptor + Int64(s * 2)),
            result,
        )
    wgmma_commit_group_sync()
    return result


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(THREADS))
)
def grouped_matmul_kernel[
    TOKENS: Int, EPILOGUE: Int
](
    y: Half,
    x: Half,
    codes: Bytes,
    scales: Bytes,
    bias: Half,
    starts: GroupStarts,
    ids: ExpertIds,
    n: UInt32,
    k: UInt32,
    groups: UInt32,
):
    """The kernel; see `grouped_matmul` for the arguments. Launch with `THREADS` threads and `shared_bytes` bytes."""
    comptime assert _is_sm_9x(), "mxfp4 grouped matmul needs Hopper (sm_90)"
    comptime STAGES = stages[TOKENS]()
    comptime LAG = STAGES // 2
    comptime TOKEN_BYTES = TOKENS * TILE * 2
    comptime assert TOKENS % 8 == 0 and TOKENS <= 256

    # Shared memory: token slots (1024-byte aligned, as the swizzle wants), code slots, scale slots, barriers, counts.
    var memory = external_memory[
        UInt8, address_space=AddressSpace.SHARED, alignment=1024
    ]()
    var token_slots = UInt32(Int(memory))
    var code_slots = token_slots + UInt32(STAGES * TOKEN_BYTES)
    var scale_slots = code_slots + UInt32(STAGES * CODE_BYTES)
    var full = scale_slots + UInt32(STAGES * SCALE_BYTES)
    var empty = full + UInt32(STAGES * 8)
    var code_words = memory.unsafe_offset(STAGES * TOKEN_BYTES).unsafe_bitcast[
        UInt32
    ]()
    var scale_words = memory.unsafe_offset(
        STAGES * (TOKEN_BYTES + CODE_BYTES)
    ).unsafe_bitcast[UInt32]()
    var ends = memory.unsafe_offset(
        STAGES * (TOKEN_BYTES + CODE_BYTES + SCALE_BYTES + 16)
    ).unsafe_bitcast[UInt32]()

    var thread = Int(thread_idx.x)
    var warp_index = thread // 32
    var lane = thread % 32
    var rows = Int(n)
    var columns = Int(k)
    var steps = ceildiv(columns, TILE)
    var row_tiles = ceildiv(rows, TILE)

    if warp_index == 0:
        count_tiles[TOKENS](
            ends, starts, ids, Int(groups), ceildiv(row_tiles, CONSUMERS)
        )
    elif thread == 32:
        comptime for slot in range(STAGES):
            barrier_init(full + UInt32(slot * 8), UInt32(1 + TOKEN_THREADS))
            barrier_init(empty + UInt32(slot * 8), UInt32(CONSUMERS * 4))
        barrier_init_fence()
    barrier()
    var tiles = Int(ends[unsafe_offset=Int(groups) - 1])

    var ring = Ring[STAGES]()
    if warp_index < 4:
        comptime if TOKENS > 128:
            warpgroup_reg_dealloc[40]()
        if thread == 0:
            # ---- Producer of weights: whole tiles, 2 KiB of codes and 128 bytes of scales each.
            for index in range(Int(block_idx.x), tiles, Int(grid_dim.x)):
                var tile = tile_at[TOKENS](
                    index, ends, starts, ids, Int(groups)
                )
                var first = tile.row_block * CONSUMERS
                # The last block of rows may be half a block.
                var count = min(CONSUMERS, row_tiles - first)
                var offset = (tile.expert * row_tiles + first) * steps
                for step in range(steps):
                    barrier_wait(empty + ring.slot * 8, ring.phase ^ 1)
                    barrier_arrive_expect(
                        full + ring.slot * 8,
                        UInt32(count * (TILE_WORDS * 4 + TILE_SCALES)),
                    )
                    for part in range(count):
                        var at = offset + part * steps + step
                        bulk_copy(
                            code_slots
                            + ring.slot * UInt32(CODE_BYTES)
                            + UInt32(part * TILE_WORDS * 4),
                            codes.unsafe_offset(at * TILE_WORDS * 4),
                            UInt32(TILE_WORDS * 4),
                            full + ring.slot * 8,
                        )
                        bulk_copy(
                            scale_slots
                            + ring.slot * UInt32(SCALE_BYTES)
                            + UInt32(part * TILE_SCALES),
                            scales.unsafe_offset(at * TILE_SCALES),
                            UInt32(TILE_SCALES),
                            full + ring.slot * 8,
                        )
                    ring.advance()
        elif thread >= 128 - TOKEN_THREADS:
            # ---- Producer of tokens: each thread copies column piece `piece` of rows `row`, `row` + 8, ...
            var piece = thread % 8
            var row = (thread - (128 - TOKEN_THREADS)) // 8
            # 128-byte swizzle: the piece's place is xor-ed with the row number modulo 8, which is `row` for all.
            var target = token_slots + UInt32(row * 128 + (piece ^ row) * 16)
            var issued = 0
            var landed = Ring[STAGES]()
            for index in range(Int(block_idx.x), tiles, Int(grid_dim.x)):
                var tile = tile_at[TOKENS](
                    index, ends, starts, ids, Int(groups)
                )
                for step in range(steps):
                    barrier_wait(empty + ring.slot * 8, ring.phase ^ 1)
                    var column = step * TILE + piece * 8
                    # NOTE: what decides about a row must depend on the step, or the compiler keeps one register a row
                    # alive over all steps and spills.
                    var remaining = (
                        tile.end - tile.first - row if column < columns else 0
                    )
                    var source = x.unsafe_offset(
                        (tile.first + row) * columns + column
                    )
                    comptime for i in range(TOKENS // 8):
                        copy16(
                            target
                            + ring.slot * UInt32(TOKEN_BYTES)
                            + UInt32(i * 1024),
                            source,
                            UInt32(16) if i * 8 < remaining else 0,
                        )
                        source = source.unsafe_offset(8 * columns)
                    copy_commit()
                    ring.advance()
                    # NOTE: these writes go through the generic proxy, WGMMA reads through the asynchronous one: the
                    # writer must fence after its copies landed and before it arrives, hence the lag.
                    issued += 1
                    if issued > LAG:
                        copy_wait[LAG]()
                        proxy_fence()
                        barrier_arrive(full + landed.slot * 8)
                        landed.advance()
            copy_wait[0]()
            proxy_fence()
            for _ in range(min(issued, LAG)):
                barrier_arrive(full + landed.slot * 8)
                landed.advance()
    else:
        # ---- Consumers: 64 weight rows a warpgroup, all tokens of the tile.
        comptime if TOKENS > 128:
            warpgroup_reg_alloc[232]()
        var group_index = warp_index // 4 - 1
        var warp_row = warp_index % 4
        var code_at = group_index * TILE_WORDS + (warp_row * 32 + lane) * 4
        var scale_at = (
            group_index * (TILE_SCALES // 4) + warp_row * 8 + lane // 4
        )
        # Matrix descriptor of the tokens (PTX ISA, "Matrix Descriptor Format"): K-major, 128-byte swizzle (1 in bits
        # 63:62), 1024 bytes between groups of eight rows; the leading offset does not matter in this mode.
        var descriptor = (
            Int64(1 << 62)
            | (Int64(1024 >> 4) << 32)
            | (Int64(1) << 16)
            | Int64((token_slots & 0x3FFFF) >> 4)
        )

        @always_inline
        def take(at: Ring[STAGES]) {imm} -> SIMD[DType.uint32, 16]:
            """Wait for a slot and decode this lane's weights of it."""
            barrier_wait(full + at.slot * 8, at.phase)
            var a = decode(
                code_words.unsafe_offset(
                    Int(at.slot) * (CODE_BYTES // 4) + code_at
                ).unsafe_load[width=4, alignment=16](),
                scale_words[
                    unsafe_offset=Int(at.slot) * (SCALE_BYTES // 4) + scale_at
                ],
            )
            comptime for i in range(16):
                a[i] = pin(a[i])
            return a

        @always_inline
        def start(
            sums: SIMD[DType.float32, TOKENS // 2],
            a: SIMD[DType.uint32, 16],
            at: Ring[STAGES],
        ) {imm} -> SIMD[DType.float32, TOKENS // 2]:
            """Start the four k steps of a slot."""
            return multiply[TOKENS](
                sums, a, descriptor + Int64(at.slot) * Int64(TOKEN_BYTES >> 4)
            )

        @always_inline
        def finish(a: SIMD[DType.uint32, 16], at: Ring[STAGES]) {imm}:
            """Wait for the tensor cores, which read `a` until then, and hand the slot back."""
            wgmma_wait_group_sync()
            hold(a)
            if lane == 0:
                barrier_arrive(empty + at.slot * 8)

        for index in range(Int(block_idx.x), tiles, Int(grid_dim.x)):
            var tile = tile_at[TOKENS](index, ends, starts, ids, Int(groups))
            var sums = SIMD[DType.float32, TOKENS // 2](0)
            # While the tensor cores work on one step, the next is decoded.
            # NOTE: WGMMA reads its A registers while it runs, and ptxas does not keep them alive for it. Hence two sets
            # of registers, `hold` after the wait, and a loop whose back edge carries a decoded set but never one that
            # the tensor cores still read: a copy made there would leave the original unprotected.
            var a = take(ring)
            for _ in range((steps - 1) // 2):
                var at_a = ring
                sums = start(sums, a, at_a)
                ring.advance()
                var at_b = ring
                var b = take(at_b)
                finish(a, at_a)
                sums = start(sums, b, at_b)
                ring.advance()
                a = take(ring)
                finish(b, at_b)
            var at_last = ring
            sums = start(sums, a, at_last)
            ring.advance()
            if steps % 2 == 0:
                var b = take(ring)
                finish(a, at_last)
                at_last = ring
                sums = start(sums, b, at_last)
                ring.advance()
                finish(b, at_last)
            else:
                finish(a, at_last)
            comptime for i in range(TOKENS // 2):
                sums[i] = pin(sums[i])

            # ---- Epilogue. Accumulator 4j + 2p + q of a lane (PTX ISA, "Register Fragments", matrix D) is weight row
            # 2g + p of the warp's 16 and token 8j + 2t + q, with g = lane / 4 and t = lane % 4.
            var feature = (
                (tile.row_block * CONSUMERS + group_index) * TILE
                + warp_row * 16
                + (lane // 4) * 2
            )
            if feature < rows:
                var bias0 = Float32(0)
                var bias1 = Float32(0)
                comptime if EPILOGUE != PLAIN:
                    bias0 = bias[
                        unsafe_offset=tile.expert * rows + feature
                    ].cast[DType.float32]()
                    bias1 = bias[
                        unsafe_offset=tile.expert * rows + feature + 1
                    ].cast[DType.float32]()
                comptime for j in range(TOKENS // 8):
                    comptime for q in range(2):
                        var token = tile.first + j * 8 + (lane % 4) * 2 + q
                        if token < tile.end:
                            var v0 = sums[4 * j + q] + bias0
                            var v1 = sums[4 * j + 2 + q] + bias1
                            comptime if EPILOGUE == SWIGLU:
                                y[
                                    unsafe_offset=token * (rows // 2)
                                    + feature // 2
                                ] = swiglu(v0, v1).cast[DType.bfloat16]()
                            else:
                                y.unsafe_offset(
                                    token * rows + feature
                                ).unsafe_store[alignment=4](
                                    SIMD[DType.float32, 2](v0, v1).cast[
                                        DType.bfloat16
                                    ]()
                                )


def _launch[
    TOKENS: Int, EPILOGUE: Int
](
    y: Half,
    x: Half,
    codes: Bytes,
    scales: Bytes,
    bias: Half,
    starts: GroupStarts,
    ids: ExpertIds,
    n: Int,
    k: Int,
    groups: Int,
    ctx: DeviceContext,
) raises:
    comptime kernel = grouped_matmul_kernel[TOKENS, EPILOGUE]
    comptime shared = shared_bytes[TOKENS]()
    var processors = ctx.get_attribute(DeviceAttribute.MULTIPROCESSOR_COUNT)
    ctx.enqueue_function[kernel](
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
        grid_dim=Int(processors),
        block_dim=THREADS,
        shared_mem_bytes=shared,
        func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
            UInt32(shared)
        ),
    )


def grouped_matmul[
    EPILOGUE: Int
](
    y: Half,
    x: Half,
    codes: Bytes,
    scales: Bytes,
    bias: Half,
    starts: GroupStarts,
    ids: ExpertIds,
    *,
    m: Int,
    n: Int,
    k: Int,
    groups: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue the grouped matmul on `ctx`; nothing waits for the host.

    Parameters:
        EPILOGUE: `PLAIN`, `BIAS` or `SWIGLU`.

    Args:
        y: Result, bf16 [m, n], or [m, n/2] for `SWIGLU`. Rows that belong to no group, or to a group with a negative
            expert id, are left as they are.
        x: Tokens grouped by expert, bf16 [m, k].
        codes: Packed codes of all experts (`layout.mojo`).
        scales: Packed scales of all experts.
        bias: Added to the sums, bf16 [experts, n]; not read for `PLAIN`.
        starts: First row of each group and the end of the last, u32 [groups + 1], ascending, at most m.
        ids: Expert of each group, i32 [groups].
        m: Rows of x.
        n: Output features, a multiple of 32.
        k: Input features, a multiple of 32.
        groups: Number of groups, at most 1024.
        ctx: The device, compute capability 9.0.

    Raises:
        When a shape is outside these limits, or the launch fails.
    """
    if n % 32 != 0 or k % 32 != 0 or n <= 0 or k <= 0:
        raise Error(
            "mxfp4 grouped matmul: N and K must be positive multiples of 32, got N = ",
            n,
            ", K = ",
            k,
        )
    if groups > MAX_GROUPS:
        raise Error(
            "mxfp4 grouped matmul: at most ",
            MAX_GROUPS,
            " expert groups, got ",
            groups,
        )
    if m == 0 or groups == 0:
        return

    # A tile twice as wide as the average group: most groups then fit in one tile, so their weights are read once.
    var wanted = 2 * ceildiv(m, groups)
    comptime for shift in range(3, 9):
        comptime tokens = 1 << shift
        if wanted <= tokens or tokens == 256:
            _launch[tokens, EPILOGUE](
                y, x, codes, scales, bias, starts, ids, n, k, groups, ctx
            )
            return
