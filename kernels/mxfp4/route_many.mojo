"""The router for many tokens: logits on the tensor cores.

For few tokens the time is that of reading the router's weights, and a warp's dot products are good enough
(`routing.mojo`). With many the tokens are what has to be read, once, and as fast as memory gives them: a block takes 32
or 64 of them, and what it reads of the router comes from L2.

Tokens are the rows of `mma.m16n8k16`, experts its columns. Both go through a ring of slots in shared memory
(`cp.async`), a slot a step of the features. The warps share a step: some take other tokens or experts, and those with
the same take other features of it. What these have is added up at the end, in a fixed order.

Numbers of which the last step, the last block and the last experts have none are zero in shared memory.
"""

from std.math import ceildiv
from std.memory import bitcast
from std.utils.static_tuple import StaticTuple

from max.gpu import (
    MAX_THREADS_PER_BLOCK_METADATA,
    barrier,
    block_idx,
    lane_id,
    thread_idx,
)
from max.gpu.memory import AddressSpace, external_memory

from .grouped_matmul import Half
from .ptx import copy16, copy_commit, copy_wait, multiply16
from .scheduler import ExpertIds
from .top_experts import MAX_EXPERTS, Weights, choose_experts, order_key

comptime STAGES = 4
"""Slots of the ring: three steps are under way while one is multiplied."""
comptime LANES = 32
"""Threads of a warp, for the host too, which counts the threads of a launch; the library's `WARP_SIZE` is the GPU's only
on the GPU."""
comptime COPY = 16
"""Bytes that a thread copies at once: eight features."""


def route_columns(experts: Int) -> Int:
    """For how many experts the kernel is compiled that takes so many: 32, 128 or 256."""
    if experts <= 32:
        return 32
    return 128 if experts <= 128 else MAX_EXPERTS


struct RouteShape[COLUMNS: Int]:
    """How a block for at most `COLUMNS` experts divides its work, and where things stand in its shared memory.

    More tokens in a block would read the router less often, fewer make more blocks. With 32 experts the tokens are
    most of what is read.
    """

    comptime TOKENS = 32 if Self.COLUMNS == 32 else 64
    """Tokens of a block."""
    comptime WARPS = Self.TOKENS // 4
    comptime THREADS = Self.WARPS * LANES
    comptime ROWS = 32
    """Tokens of a warp."""
    comptime WIDTH = min(Self.COLUMNS // 2, 64)
    """Experts of a warp."""
    comptime ACROSS = Self.COLUMNS // Self.WIDTH
    comptime PARTS = Self.WARPS // (Self.TOKENS // Self.ROWS * Self.ACROSS)
    """Warps that have the same tokens and experts, and other features."""
    comptime STEP = Self.PARTS * 32
    """Features in a slot: 32 for each of these, two instructions deep."""
    comptime CHUNKS = Self.STEP * 2 // COPY
    """Pieces of 16 bytes in a row of a slot."""
    comptime PASS = Self.THREADS // Self.CHUNKS
    """Rows that all threads copy at once."""
    comptime SLOT_BYTES = (Self.TOKENS + Self.COLUMNS) * Self.STEP * 2
    """A slot: rows of tokens, then rows of the router."""
    comptime STRIDE = Self.COLUMNS + 8
    """Sums from one token to the next: what a warp stores at once then falls into different banks."""
    comptime SHARED_BYTES = max(
        STAGES * Self.SLOT_BYTES, Self.PARTS * Self.TOKENS * Self.STRIDE * 4
    )
    """Shared memory of a block: the ring, and after it the sums in the same place."""

    @staticmethod
    @always_inline
    def place(row: Int, chunk: Int) -> Int:
        """The byte of a slot at which this piece of this row stands.

        Every other row has its halves of 64 bytes swapped: eight lanes read two half rows at once, which so fall into
        different banks.
        """
        return (row * Self.CHUNKS + (chunk ^ (row % 2 * 4))) * COPY

    @staticmethod
    @always_inline
    def part(warp: Int) -> Int:
        """Which features of a step are this warp's."""
        return warp % Self.PARTS

    @staticmethod
    @always_inline
    def first_token(warp: Int) -> Int:
        """The first of a warp's tokens."""
        return warp // Self.PARTS // Self.ACROSS * Self.ROWS

    @staticmethod
    @always_inline
    def first_expert(warp: Int) -> Int:
        """The first of a warp's experts."""
        return warp // Self.PARTS % Self.ACROSS * Self.WIDTH

    @staticmethod
    @always_inline
    def sum_place(part: Int, token: Int, expert: Int) -> Int:
        """Which of the sums is that of this part of the features."""
        return (part * Self.TOKENS + token) * Self.STRIDE + expert


@always_inline
def _copy(
    target: UInt32,
    matrix: Half,
    row: Int,
    rows: Int,
    feature: Int,
    features: Int,
):
    """Copy eight features of a row, or zeros where there is no such row or feature."""
    var there = row < rows and feature < features
    copy16(
        target,
        matrix.unsafe_offset(row * features + feature if there else 0),
        UInt32(COPY) if there else 0,
    )


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](
        Int32(RouteShape[COLUMNS].THREADS)
    )
)
def route_many_kernel[
    COLUMNS: Int
](
    chosen: ExpertIds,
    weights: Weights,
    x: Half,
    router: Half,
    bias: Half,
    tokens: UInt32,
    features: UInt32,
    experts: UInt32,
    top: UInt32,
):
    """One block for `TOKENS` tokens; see `routing.route`. Launch with the `THREADS` and `SHARED_BYTES` of the shape.

    Parameters:
        COLUMNS: Most experts; see `route_columns`.
    """
    comptime Shape = RouteShape[COLUMNS]
    comptime TOKENS = Shape.TOKENS
    comptime PASSES = (TOKENS + COLUMNS) // Shape.PASS
    comptime DOWN = Shape.ROWS // 16
    comptime ACROSS = Shape.WIDTH // 8
    comptime EACH = COLUMNS // LANES
    # A pass is all tokens or all router; a thread's rows are all even or all odd.
    comptime assert TOKENS % Shape.PASS == 0 and COLUMNS % Shape.PASS == 0
    comptime assert Shape.PASS % 2 == 0 and Shape.THREADS % Shape.CHUNKS == 0
    comptime assert Shape.WARPS % (TOKENS // Shape.ROWS * Shape.ACROSS) == 0
    # What a quarter of a warp loads, two half rows, must be all of the banks.
    comptime assert Shape.CHUNKS % 8 == 0

    var memory = external_memory[
        UInt8, address_space=AddressSpace.SHARED, alignment=128
    ]()
    var thread = Int(thread_idx.x)
    var lane = Int(lane_id())
    var warp_index = thread // LANES
    var first = Int(block_idx.x) * TOKENS
    var width = Int(features)
    var steps = ceildiv(width, Shape.STEP)

    var row = thread // Shape.CHUNKS
    var chunk = thread % Shape.CHUNKS
    var target = UInt32(Int(memory)) + UInt32(Shape.place(row, chunk))

    @always_inline
    def load(step: Int) {imm}:
        var slot = target + UInt32(step % STAGES * Shape.SLOT_BYTES)
        var feature = step * Shape.STEP + chunk * 8
        comptime for i in range(PASSES):
            comptime ROW = i * Shape.PASS
            var here = slot + UInt32(ROW * Shape.CHUNKS * COPY)
            comptime if ROW < TOKENS:
                _copy(here, x, first + row + ROW, Int(tokens), feature, width)
            else:
                _copy(
                    here,
                    router,
                    row + ROW - TOKENS,
                    Int(experts),
                    feature,
                    width,
                )

    comptime for step in range(STAGES - 1):
        if step < steps:
            load(step)
        copy_commit()

    # ---- Logits. A lane's 16 bytes are eight features of one row, and four lanes have 32. Which of them the instruction
    # takes for which k does not matter as long as tokens and router agree: its first 16 are the lower halves of these 16
    # bytes, its next 16 the upper halves.
    var group = lane // 4
    var part = Shape.part(warp_index)
    var token = Shape.first_token(warp_index) + group
    var expert = Shape.first_expert(warp_index) + group
    var piece = part * 4 + lane % 4
    var token_place = Shape.place(token, piece)
    var router_place = Shape.place(TOKENS + expert, piece)
    comptime EIGHT = 8 * Shape.CHUNKS * COPY
    """Bytes from a row to the eighth after it, which is as even or odd."""
    var sums = StaticTuple[SIMD[DType.float32, 4], DOWN * ACROSS]()
    comptime for i in range(DOWN * ACROSS):
        sums[i] = SIMD[DType.float32, 4](0)
    for step in range(steps):
        # This step has come, and everyone has done with the slot of the one before, which the next load fills.
        copy_wait[STAGES - 2]()
        barrier()
        if step + STAGES - 1 < steps:
            load(step + STAGES - 1)
        copy_commit()
        var slot = memory.unsafe_offset(step % STAGES * Shape.SLOT_BYTES)
        var a = StaticTuple[SIMD[DType.uint32, 4], 2 * DOWN]()
        comptime for i in range(2 * DOWN):
            a[i] = (
                slot.unsafe_offset(token_place + i * EIGHT)
                .unsafe_bitcast[UInt32]()
                .unsafe_load[width=4, alignment=16]()
            )
        comptime for n in range(ACROSS):
            var b = (
                slot.unsafe_offset(router_place + n * EIGHT)
                .unsafe_bitcast[UInt32]()
                .unsafe_load[width=4, alignment=16]()
            )
            comptime for half in range(2):
                comptime for m in range(DOWN):
                    sums[m * ACROSS + n] = multiply16(
                        a[2 * m][2 * half],
                        a[2 * m + 1][2 * half],
                        a[2 * m][2 * half + 1],
                        a[2 * m + 1][2 * half + 1],
                        b[2 * half],
                        b[2 * half + 1],
                        sums[m * ACROSS + n],
                    )

    # ---- The sums of all parts, in place of the ring once nobody reads it any more.
    copy_wait[0]()
    barrier()
    var floats = memory.unsafe_bitcast[Float32]()
    comptime for m in range(DOWN):
        comptime for n in range(ACROSS):
            comptime for half in range(2):
                floats.unsafe_offset(
                    Shape.sum_place(
                        part,
                        token + m * 16 + half * 8,
                        Shape.first_expert(warp_index) + n * 8 + lane % 4 * 2,
                    )
                ).unsafe_store[alignment=8](
                    SIMD[DType.float32, 2](
                        sums[m * ACROSS + n][2 * half],
                        sums[m * ACROSS + n][2 * half + 1],
                    )
                )
    var biases = SIMD[DType.float32, EACH](0)
    comptime for i in range(EACH):
        if i * LANES + lane < Int(experts):
            biases[i] = bias[unsafe_offset=i * LANES + lane].cast[
                DType.float32
            ]()
    barrier()

    # ---- The highest logits, and their softmax: a warp a token, four times.
    for mine in range(warp_index, TOKENS, Shape.WARPS):
        if first + mine >= Int(tokens):
            return
        var keys = SIMD[DType.uint32, EACH](0)
        comptime for i in range(EACH):
            if i * LANES + lane < Int(experts):
                var logit = Float32(0)
                comptime for other in range(Shape.PARTS):
                    logit += floats[
                        unsafe_offset=Shape.sum_place(
                            other, mine, i * LANES + lane
                        )
                    ]
                keys[i] = order_key(logit + biases[i])
        choose_experts(chosen, weights, keys, first + mine, Int(top))
