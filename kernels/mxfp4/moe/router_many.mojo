"""The router for many tokens: logits on the tensor cores.

For few tokens the time is that of reading the router's weights (`router_few.mojo`). With many the tokens are what has to be
read, once, and as fast as memory gives them: a block takes 32 or 64 of them, and what it reads of the router comes from L2.

Tokens are the rows of `mma.m16n8k16`, experts its columns. Both go through a ring of slots in shared memory
(`cp.async`), a slot a step of the features; `mma_tile.mojo` says how they stand there. The warps share a step: some take
other tokens or experts, and those with the same take other features of it. What these have is added up at the end, in a
fixed order.

Numbers of which the last step, the last block and the last experts have none are zero in shared memory.
"""

from std.math import ceildiv
from std.utils.static_tuple import StaticTuple

from max.gpu import (
    MAX_THREADS_PER_BLOCK_METADATA,
    barrier,
    block_idx,
    lane_id,
    thread_idx,
)
from max.gpu.host import DeviceContext, FuncAttribute
from max.gpu.memory import (
    AddressSpace,
    async_copy_commit_group,
    async_copy_wait_group,
    external_memory,
)

from ..mma_tile import COPY, LANES, MmaTile, WarpTiles, copy_or_zero
from ..pointers import BF16, ExpertIds, Floats
from .top_experts import MAX_EXPERTS, check_sizes, choose_experts, order_key

comptime STAGES = 4
"""Slots of the ring: three steps are under way while one is multiplied."""


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
    comptime Warps = WarpTiles[
        Self.TOKENS, Self.COLUMNS, Self.ROWS, Self.WIDTH, Self.WARPS
    ]
    """What each of them multiplies; experts are its weight rows."""
    comptime PARTS = Self.Warps.PARTS
    comptime STEP = Self.PARTS * 32
    """Features in a slot: 32 for each of these, two instructions deep."""
    comptime CHUNKS = Self.STEP * 2 // COPY
    """Pieces of 16 bytes in a row of a slot."""
    comptime Tile = MmaTile[Self.ROWS, Self.WIDTH, Self.CHUNKS]
    """What a warp multiplies at once."""
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
    def sum_place(part: Int, token: Int, expert: Int) -> Int:
        """Which of the sums is that of this part of the features."""
        return Self.Warps.sum_place[Self.STRIDE](part, token, expert)


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](
        Int32(RouteShape[COLUMNS].THREADS)
    )
)
def route_many_kernel[
    COLUMNS: Int
](
    chosen: ExpertIds,
    weights: Floats,
    x: BF16,
    router: BF16,
    bias: BF16,
    tokens: UInt32,
    features: UInt32,
    experts: UInt32,
    top: UInt32,
):
    """One block for `TOKENS` tokens; see `router.route`. Launch with the `THREADS` and `SHARED_BYTES` of the shape.

    Parameters:
        COLUMNS: Most experts; see `route_columns`.
    """
    comptime Shape = RouteShape[COLUMNS]
    comptime TOKENS = Shape.TOKENS
    comptime PASSES = (TOKENS + COLUMNS) // Shape.PASS
    comptime Tile = Shape.Tile
    comptime EACH = COLUMNS // LANES
    # A pass is all tokens or all router; a thread's rows are all even or all odd.
    comptime assert TOKENS % Shape.PASS == 0 and COLUMNS % Shape.PASS == 0
    comptime assert Shape.PASS % 2 == 0 and Shape.THREADS % Shape.CHUNKS == 0
    Shape.Warps.check()
    Tile.check()

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
    var target = UInt32(Int(memory)) + UInt32(Tile.place(row, chunk))

    @always_inline
    def load(step: Int) {imm}:
        var slot = target + UInt32(step % STAGES * Shape.SLOT_BYTES)
        var feature = step * Shape.STEP + chunk * 8
        comptime for i in range(PASSES):
            comptime ROW = i * Shape.PASS
            var here = slot + UInt32(ROW * Shape.CHUNKS * COPY)
            comptime if ROW < TOKENS:
                var of_token = first + row + ROW
                copy_or_zero(
                    here,
                    x,
                    of_token * width + feature,
                    of_token < Int(tokens) and feature < width,
                )
            else:
                var of_expert = row + ROW - TOKENS
                copy_or_zero(
                    here,
                    router,
                    of_expert * width + feature,
                    of_expert < Int(experts) and feature < width,
                )

    comptime for step in range(STAGES - 1):
        if step < steps:
            load(step)
        async_copy_commit_group()

    # ---- Logits.
    var part = Shape.Warps.part(warp_index)
    var piece = part * 4 + lane % 4
    var token_place = Tile.place(
        Shape.Warps.first_token(warp_index) + lane // 4, piece
    )
    var router_place = Tile.place(
        TOKENS + Shape.Warps.first_row(warp_index) + lane // 4, piece
    )
    var sums = Tile.no_sums()
    for step in range(steps):
        # This step has come, and everyone has done with the slot of the one before, which the next load fills.
        async_copy_wait_group(Int32(STAGES - 2))
        barrier()
        if step + STAGES - 1 < steps:
            load(step + STAGES - 1)
        async_copy_commit_group()
        var slot = memory.unsafe_offset(step % STAGES * Shape.SLOT_BYTES)
        Tile.multiply[AT_ONCE=1](
            slot.unsafe_offset(token_place),
            slot.unsafe_offset(router_place),
            sums,
        )

    # ---- The sums of all parts, in place of the ring once nobody reads it any more.
    async_copy_wait_group(Int32(0))
    barrier()
    var floats = memory.unsafe_bitcast[Float32]()
    Tile.store[Shape.STRIDE](
        sums,
        floats.unsafe_offset(
            Shape.sum_place(
                part,
                Shape.Warps.first_token(warp_index) + lane // 4,
                Shape.Warps.first_row(warp_index) + lane % 4 * 2,
            )
        ),
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


def route_many(
    chosen: ExpertIds,
    weights: Floats,
    x: BF16,
    router: BF16,
    bias: BF16,
    *,
    tokens: Int,
    features: Int,
    experts: Int,
    top: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue what `route` does, with the kernel for many tokens, of which it takes any number."""
    check_sizes(experts, top, features)
    if tokens == 0:
        return
    comptime for i in range(3):
        comptime COLUMNS = [32, 128, MAX_EXPERTS][i]
        comptime Shape = RouteShape[COLUMNS]
        if route_columns(experts) == COLUMNS:
            ctx.enqueue_function[route_many_kernel[COLUMNS]](
                chosen,
                weights,
                x,
                router,
                bias,
                UInt32(tokens),
                UInt32(features),
                UInt32(experts),
                UInt32(top),
                grid_dim=ceildiv(tokens, Shape.TOKENS),
                block_dim=Shape.THREADS,
                shared_mem_bytes=Shape.SHARED_BYTES,
                func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                    UInt32(Shape.SHARED_BYTES)
                ),
            )
