"""The dense matmul for few tokens, whose time is that of reading the weights once.

MAX's own takes four to five times that for the projections of GPT-OSS's attention (64 tokens). This one is made of what keeps
memory busy: blocks on every multiprocessor, each with tens of KiB under way.

- A block takes 96 rows of the weights, all tokens (at most 128 of them), and a part of the features. So there are few enough
  tiles that up to 64 tokens, which every tile reads again from L2, are less to read than the weights, and blocks enough
  because the features are divided.
- Blocks with the same rows are one cluster, of 1, 2, 4 or 8. Each leaves its sums in its own shared memory, and all add up
  what they find in that of the others, in a fixed order: one launch, no memory for sums in between, and the same input gives
  the same bits.
- Inside a block it is as `tile.mojo` has it: tokens are the rows of `mma.m16n8k16`, weight rows its columns, both go
  through a ring of slots, and warps with the same tokens and rows take other features of a slot.

Numbers of which the last step, the last tile of rows and the last tokens have none are zero in shared memory. N and K are
runtime values; only the largest number of tokens in a tile is compiled in.
"""

from std.math import ceildiv
from std.sys.info import _is_sm_9x
from std.utils.static_tuple import StaticTuple

from max.gpu import (
    MAX_THREADS_PER_BLOCK_METADATA,
    barrier,
    block_idx,
    grid_dim,
    lane_id,
    thread_idx,
)
from max.gpu.host import DeviceContext, Dim, FuncAttribute
from max.gpu.memory import (
    AddressSpace,
    async_copy_commit_group,
    async_copy_wait_group,
    external_memory,
)

from ..mma_tile import COPY, LANES
from ..pointers import BF16
from ..ptx import (
    cluster_arrive,
    cluster_arrive_relaxed,
    cluster_load,
    cluster_wait,
    grid_release,
    grid_wait,
)
from .tile import DenseTile, THREADS, few_tile, launch_attributes

comptime FEW_TOKENS = 128
"""Most tokens that one tile holds. With more, weights are read once for each tile.

Up to twice as many that still costs no more than MAX's matmul does; `matmul.mojo` gives it whole tiles from there on, and the
rest to this kernel. `bench_dense` measures both.
"""
comptime ROWS = 96
"""Weight rows of a block.

GPT-OSS's 5120 rows are 54 tiles of it and its 2880 are 30: with four blocks each 216, which is nearly two on each of the
132 multiprocessors, and 120, which is nearly one.
"""
comptime STRIDE = ROWS + 8
"""Sums from one token to the next: what a warp stores at once then falls into different banks."""
comptime QUADS = ROWS // 4
"""A thread makes four neighbours of a result at once."""
comptime BLOCKS_EACH = 2
"""Blocks that a multiprocessor has room for: no more registers than that leaves, and no more shared memory."""
comptime MOST_BLOCKS = 224
"""The features are divided no further than into so many blocks.

All of them must fit at once: what is left over would take as long again. That would be 264, but clusters of eight do not
fill every part of the GPU.
"""
comptime MOST_PARTS = 8
"""Blocks of a cluster: no Hopper GPU must take larger ones."""
comptime RING_BYTES = 112 * 1024
"""Most shared memory of a block: twice that and 2 KiB is what a multiprocessor has."""


def few_parts(tiles: Int, steps: Int) -> Int:
    """Into how many blocks the features of a tile are divided: 1, 2, 4 or 8.

    Args:
        tiles: Tiles of the launch.
        steps: Steps of the features; each block has at least one.
    """
    var parts = 1
    while (
        parts < MOST_PARTS
        and 2 * parts * tiles <= MOST_BLOCKS
        and 2 * parts <= steps
    ):
        parts *= 2
    return parts


struct FewShape[TOKENS: Int]:
    """What a block for at most `TOKENS` tokens is made of, and where its sums stand."""

    comptime Tile = DenseTile[
        Self.TOKENS,
        ROWS,
        DOWN=min(Self.TOKENS, 32),
        WIDTH=24 if Self.TOKENS == 32 else 48,
    ]
    comptime PARTS = Self.Tile.PARTS
    comptime STAGES = RING_BYTES // Self.Tile.SLOT_BYTES
    """Slots of the ring: all but one are under way while that is multiplied."""
    comptime SHARED_BYTES = max(
        Self.STAGES * Self.Tile.SLOT_BYTES,
        Self.PARTS * Self.TOKENS * STRIDE * 4,
    )
    """Shared memory of a block: the ring, and after it the sums in the same place."""

    @staticmethod
    @always_inline
    def sum_place(part: Int, token: Int, row: Int) -> Int:
        """Which of the sums is that of this part of the features."""
        return Self.Tile.Warps.sum_place[STRIDE](part, token, row)


@always_inline
def first_step(block: Int, blocks: Int, steps: Int) -> Int:
    """The first step of a block of a cluster; that of the block behind the last is the end."""
    return block * steps // blocks


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(THREADS)),
    `nvvm.minctasm`=SIMDLength(BLOCKS_EACH),
)
def dense_few_kernel[
    TOKENS: Int
](
    y: BF16,
    x: BF16,
    w: BF16,
    bias: BF16,
    tokens: UInt32,
    rows: UInt32,
    features: UInt32,
):
    """One cluster (the grid's x) for a tile of weight rows (its y) and of tokens (its z); see `dense_few`.

    Parameters:
        TOKENS: Most tokens in a tile; see `few_tile`.
    """
    comptime assert _is_sm_9x(), "mxfp4 dense matmul needs Hopper (sm_90)"
    comptime Shape = FewShape[TOKENS]
    comptime Tile = Shape.Tile
    comptime STAGES = Shape.STAGES
    comptime assert STAGES >= 3
    Tile.check()

    var memory = external_memory[
        UInt8, address_space=AddressSpace.SHARED, alignment=128
    ]()
    var thread = Int(thread_idx.x)
    var lane = Int(lane_id())
    var warp_index = thread // LANES
    var block = Int(block_idx.x)
    var blocks = Int(grid_dim.x)
    var first_row = Int(block_idx.y) * ROWS
    var first_token = Int(block_idx.z) * TOKENS
    var steps = ceildiv(Int(features), Tile.STEP)
    var first = first_step(block, blocks, steps)
    var count = first_step(block + 1, blocks, steps) - first

    # ---- Copies. 32 bits are enough (`few_takes`), and half of the registers.
    var of_tokens = Tile.copies_tokens(thread)
    var target = UInt32(Int(memory)) + UInt32(Tile.copied_place(thread))
    var begin = (first_token if of_tokens else first_row) + Tile.copied_row(
        thread
    )
    var from_first = UInt32(begin) * features
    var left = Int32(Int(tokens if of_tokens else rows) - begin)

    @always_inline
    def load(step: Int) {imm}:
        var slot = target + UInt32(step % STAGES * Tile.SLOT_BYTES)
        var feature = UInt32(
            (first + step) * Tile.STEP + Tile.copied_chunk(thread) * 8
        )
        var rows_left = left if feature < features else 0
        if of_tokens:
            Tile.copy_tokens(slot, x, from_first + feature, rows_left, features)
        else:
            Tile.copy_weights[FIRST_OUT=False](
                slot, w, from_first + feature, rows_left, features
            )

    # What the kernels before wrote, tokens too, is there after the wait; see `tile.mojo`.
    if of_tokens:
        grid_wait()
    comptime for step in range(STAGES - 1):
        if step < count:
            load(step)
        async_copy_commit_group()
    if not of_tokens:
        grid_wait()
    grid_release()

    # ---- Products.
    var sums = Tile.Mma.no_sums()
    for step in range(count):
        # This step has come, and everyone has done with the slot of the one before, which the next load fills.
        async_copy_wait_group(Int32(STAGES - 2))
        barrier()
        if step + STAGES - 1 < count:
            load(step + STAGES - 1)
        async_copy_commit_group()
        Tile.multiply(
            memory.unsafe_offset(step % STAGES * Tile.SLOT_BYTES),
            warp_index,
            lane,
            sums,
        )

    # ---- The sums of all parts, in place of the ring once nobody reads it any more.
    async_copy_wait_group(Int32(0))
    barrier()
    Tile.Mma.store[STRIDE](
        sums,
        memory.unsafe_bitcast[Float32]().unsafe_offset(
            Shape.sum_place(
                Tile.Warps.part(warp_index),
                Tile.Warps.first_token(warp_index) + lane // 4,
                Tile.Warps.first_row(warp_index) + lane % 4 * 2,
            )
        ),
    )
    cluster_arrive()
    cluster_wait()

    # ---- The results, four neighbours at a time, divided among all threads of the cluster.
    comptime AT_ONCE = 4
    """Blocks whose sums are asked for together. Where there are fewer, a block reads its own instead and adds nothing."""
    var present = min(TOKENS, Int(tokens) - first_token)
    for unit in range(
        block * THREADS + thread, present * QUADS, blocks * THREADS
    ):
        var mine = unit // QUADS
        var offset = unit % QUADS * 4
        var column = first_row + offset
        if column >= Int(rows):
            continue
        var result = SIMD[DType.float32, 4](0)
        for other in range(0, blocks, AT_ONCE):
            var found = StaticTuple[
                SIMD[DType.float32, 4], AT_ONCE * Shape.PARTS
            ]()
            comptime for i in range(AT_ONCE):
                var from_block = UInt32(
                    other + i if other + i < blocks else block
                )
                comptime for p in range(Shape.PARTS):
                    found[i * Shape.PARTS + p] = cluster_load(
                        UInt32(Int(memory))
                        + UInt32(Shape.sum_place(p, mine, offset) * 4),
                        from_block,
                    )
            comptime for i in range(AT_ONCE):
                if other + i < blocks:
                    comptime for p in range(Shape.PARTS):
                        result += found[i * Shape.PARTS + p]
        var at = y.unsafe_offset((first_token + mine) * Int(rows) + column)
        if rows % 4 == 0:
            var added = bias.unsafe_offset(column).unsafe_load[
                width=4, alignment=8
            ]()
            at.unsafe_store[alignment=8](
                (result + added.cast[DType.float32]()).cast[DType.bfloat16]()
            )
        else:
            comptime for i in range(4):
                if column + i < Int(rows):
                    at[unsafe_offset=i] = (
                        result[i]
                        + bias[unsafe_offset=column + i].cast[DType.float32]()
                    ).cast[DType.bfloat16]()

    # No block ends while another one reads its sums; they have come, or they could not have been added.
    cluster_arrive_relaxed()
    cluster_wait()


def few_takes(
    y: BF16,
    x: BF16,
    w: BF16,
    bias: BF16,
    *,
    tokens: Int,
    rows: Int,
    features: Int,
) -> Bool:
    """Whether sizes and pointers are such that `dense_few` can copy 16 bytes at once and count in 32 bits."""
    return (
        features > 0
        and features % 8 == 0
        and (max(tokens, rows) + ROWS) * features < 1 << 32
        and (Int(x) | Int(w)) % COPY == 0
        and (Int(y) | Int(bias)) % 8 == 0
    )


def dense_few[
    OVERLAP: Bool = True
](
    y: BF16,
    x: BF16,
    w: BF16,
    bias: BF16,
    *,
    tokens: Int,
    rows: Int,
    features: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue y = x times w transposed, plus bias; products are accumulated in float32, the result is rounded once.

    Any number of tokens is right; it is made for few, see `FEW_TOKENS`.

    Parameters:
        OVERLAP: Whether weights may be read before the kernel before has ended, which then must not be what makes them.

    Args:
        y: Result, bf16 [M, N], aligned to 8 bytes.
        x: Tokens, bf16 [M, K], aligned to 16 bytes.
        w: Weights, bf16 [N, K], aligned to 16 bytes.
        bias: Their bias, bf16 [N], aligned to 8 bytes.
        tokens: M.
        rows: N.
        features: K, a multiple of 8.
        ctx: The device.

    Raises:
        When a size or a pointer is not as it must be, or the launch fails.
    """
    if not few_takes(
        y, x, w, bias, tokens=tokens, rows=rows, features=features
    ):
        raise Error(
            "dense matmul for few tokens: x is [",
            tokens,
            ", ",
            features,
            "] and w [",
            rows,
            ", ",
            features,
            (
                "]; features must come in multiples of 8, neither may have"
                " 2^32 values, x and w must be aligned to 16 bytes, y and the"
                " bias to 8"
            ),
        )
    if tokens == 0 or rows == 0:
        return
    var wanted = few_tile(tokens)
    comptime for i in range(4):
        comptime TOKENS = 16 << i
        comptime Shape = FewShape[TOKENS]
        if wanted == TOKENS:
            var tiles = ceildiv(rows, ROWS)
            var batches = ceildiv(tokens, TOKENS)
            var parts = few_parts(
                tiles * batches, ceildiv(features, Shape.Tile.STEP)
            )
            ctx.enqueue_function[dense_few_kernel[TOKENS]](
                y,
                x,
                w,
                bias,
                UInt32(tokens),
                UInt32(rows),
                UInt32(features),
                grid_dim=(parts, tiles, batches),
                block_dim=THREADS,
                cluster_dim=Dim(parts, 1, 1),
                shared_mem_bytes=Shape.SHARED_BYTES,
                func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                    UInt32(Shape.SHARED_BYTES)
                ),
                attributes=launch_attributes[OVERLAP](),
            )
