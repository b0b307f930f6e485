"""The dense matmul for few tokens and very many weight rows, with float32 results: the head, whose rows are the vocabulary.

With 201088 rows there are many more tiles than multiprocessors, so `few.mojo`'s division of K and its sums through a
cluster are not wanted. What matters is that weights never stop coming:

- **A block stays** on each multiprocessor, and takes one tile after the other. Its ring knows no tiles: while the last steps
  of one are multiplied and its results are stored, the weights of the next are under way, 96 to 168 KiB of them.
- **Each warp has its own results.** None share K, so sums go from registers to memory, and the ring need not be emptied for
  them.
- **192 rows a tile.** All tokens are read again from L2 for each tile of rows, for 128 tokens two thirds of the bytes of its
  weights. The vocabulary is 1048 tiles of it: 8 rounds of 132 blocks are 1056.

A result is the sum of its products in one order, whatever the number of tokens, so a token's logits have the same bits in
any batch that this kernel takes.
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
from max.gpu.host import DeviceAttribute, DeviceContext, FuncAttribute
from max.gpu.memory import (
    AddressSpace,
    async_copy_commit_group,
    async_copy_wait_group,
    external_memory,
)

from ..mma_tile import COPY, LANES
from ..pointers import BF16, Floats
from ..ptx import grid_release, grid_wait
from .tile import DenseTile, THREADS, few_tile, launch_attributes

comptime HEAD_ROWS = 192
"""Weight rows of a tile."""
comptime HEAD_RING_BYTES = 224 * 1024
"""Most shared memory of a block, of 227 KiB that there are."""


struct HeadShape[TOKENS: Int]:
    """What a block for at most `TOKENS` tokens is made of."""

    comptime Tile = DenseTile[
        Self.TOKENS,
        HEAD_ROWS,
        DOWN=Self.TOKENS if Self.TOKENS <= 32 else Self.TOKENS // 2,
        WIDTH=24 if Self.TOKENS <= 32 else 48,
    ]
    comptime STAGES = HEAD_RING_BYTES // Self.Tile.SLOT_BYTES
    """Slots of the ring: all but one are under way while that is multiplied."""
    comptime SHARED_BYTES = Self.STAGES * Self.Tile.SLOT_BYTES


struct HeadUnit(Copyable, Movable):
    """What a block takes next: a step of a unit, which is a tile of rows with a tile of tokens.

    Units with the same rows follow each other, so that other blocks read the same weights at about the same time.
    """

    var unit: Int
    var step: Int
    var units: Int
    var batches: Int
    var steps: Int
    var blocks: Int

    @always_inline
    def __init__(
        out self, block: Int, blocks: Int, tiles: Int, batches: Int, steps: Int
    ):
        """The first of this block.

        Args:
            block: Which of the blocks.
            blocks: How many there are.
            tiles: Tiles of rows.
            batches: Tiles of tokens.
            steps: Steps of the features.
        """
        self.unit = block
        self.step = 0
        self.units = tiles * batches
        self.batches = batches
        self.steps = steps
        self.blocks = blocks

    @always_inline
    def is_there(self) -> Bool:
        """Whether there is anything left to take."""
        return self.unit < self.units

    @always_inline
    def tile(self) -> Int:
        """Which tile of rows."""
        return self.unit // self.batches

    @always_inline
    def batch(self) -> Int:
        """Which tile of tokens."""
        return self.unit % self.batches

    @always_inline
    def advance(mut self) -> Bool:
        """Go to the next step, and say whether it is another unit's."""
        self.step += 1
        if self.step < self.steps:
            return False
        self.step = 0
        self.unit += self.blocks
        return True


struct HeadLoader[TOKENS: Int]:
    """A thread's copies: step after step, one unit after the other."""

    comptime Shape = HeadShape[Self.TOKENS]
    comptime Tile = Self.Shape.Tile

    var next: HeadUnit
    var of_tokens: Bool
    """Whether it copies tokens, or weights."""
    var row: Int
    var rows: UInt32
    """How many tokens, or weight rows, there are at all."""
    var features: UInt32
    var first_feature: UInt32
    """Of those of a step."""
    var target: UInt32
    """Where in the first slot its first piece goes."""
    var slot: UInt32
    var from_first: UInt32
    """The first value of its first row of this unit. 32 bits are enough (`head_takes`)."""
    var left: Int32
    """How many rows there are from that on."""

    @always_inline
    def __init__(
        out self,
        var next: HeadUnit,
        memory: UInt32,
        thread: Int,
        tokens: UInt32,
        rows: UInt32,
        features: UInt32,
    ):
        self.of_tokens = Self.Tile.copies_tokens(thread)
        self.next = next^
        self.row = Self.Tile.copied_row(thread)
        self.rows = tokens if self.of_tokens else rows
        self.features = features
        self.first_feature = UInt32(Self.Tile.copied_chunk(thread) * 8)
        self.target = memory + UInt32(Self.Tile.copied_place(thread))
        self.slot = 0
        self.from_first = 0
        self.left = 0
        self.begin()

    @always_inline
    def begin(mut self):
        """Go to the rows of the next unit."""
        var first = self.row
        if self.of_tokens:
            first += self.next.batch() * Self.TOKENS
        else:
            first += self.next.tile() * HEAD_ROWS
        self.from_first = UInt32(first) * self.features
        self.left = Int32(Int(self.rows) - first)

    @always_inline
    def load(mut self, x: BF16, w: BF16):
        """Ask for the next step, if there is one, as one group of copies."""
        if self.next.is_there():
            var feature = (
                UInt32(self.next.step * Self.Tile.STEP) + self.first_feature
            )
            var rows_left = self.left if feature < self.features else 0
            var slot = self.target + self.slot * UInt32(Self.Tile.SLOT_BYTES)
            var at = self.from_first + feature
            if self.of_tokens:
                Self.Tile.copy_tokens(slot, x, at, rows_left, self.features)
            else:
                # Each weight is read once, or by a few blocks at about the same time; tokens by every tile of rows.
                Self.Tile.copy_weights[FIRST_OUT=True](
                    slot, w, at, rows_left, self.features
                )
            if self.next.advance():
                self.begin()
        self.slot = next_slot[Self.TOKENS](self.slot)
        async_copy_commit_group()


@always_inline
def next_slot[TOKENS: Int](slot: UInt32) -> UInt32:
    """The slot behind this one."""
    return slot + 1 if slot + 1 < UInt32(HeadShape[TOKENS].STAGES) else 0


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(THREADS)),
    `nvvm.minctasm`=SIMDLength(1),
)
def dense_head_kernel[
    TOKENS: Int
](y: Floats, x: BF16, w: BF16, tokens: UInt32, rows: UInt32, features: UInt32):
    """A block for each unit, or blocks that take several; see `dense_head`.

    Parameters:
        TOKENS: Most tokens in a tile; see `few_tile`.
    """
    comptime assert _is_sm_9x(), "mxfp4 dense matmul needs Hopper (sm_90)"
    comptime Shape = HeadShape[TOKENS]
    comptime Tile = Shape.Tile
    comptime STAGES = Shape.STAGES
    comptime assert STAGES >= 3
    # Nobody else adds to a warp's sums.
    comptime assert Tile.PARTS == 1
    Tile.check()

    var memory = external_memory[
        UInt8, address_space=AddressSpace.SHARED, alignment=128
    ]()
    var thread = Int(thread_idx.x)
    var lane = Int(lane_id())
    var warp_index = thread // LANES
    var now = HeadUnit(
        Int(block_idx.x),
        Int(grid_dim.x),
        ceildiv(Int(rows), HEAD_ROWS),
        ceildiv(Int(tokens), TOKENS),
        ceildiv(Int(features), Tile.STEP),
    )
    var loader = HeadLoader[TOKENS](
        now.copy(), UInt32(Int(memory)), thread, tokens, rows, features
    )
    # What the kernels before wrote, tokens too, is there after the wait; see `tile.mojo`.
    if loader.of_tokens:
        grid_wait()
    for _ in range(STAGES - 1):
        loader.load(x, w)
    if not loader.of_tokens:
        grid_wait()
    grid_release()

    var first_token = Tile.Warps.first_token(warp_index) + lane // 4
    var first_row = Tile.Warps.first_row(warp_index) + lane % 4 * 2
    var slot = UInt32(0)
    while now.is_there():
        var tile = now.tile()
        var batch = now.batch()
        var sums = Tile.Mma.no_sums()
        while True:
            # This step has come, and everyone has done with the slot of the one before, which the next load fills.
            async_copy_wait_group(Int32(STAGES - 2))
            barrier()
            loader.load(x, w)
            Tile.multiply(
                memory.unsafe_offset(Int(slot) * Tile.SLOT_BYTES),
                warp_index,
                lane,
                sums,
            )
            slot = next_slot[TOKENS](slot)
            if now.advance():
                break

        # ---- The results, while the next unit's numbers are on their way.
        var token = batch * TOKENS + first_token
        var row = tile * HEAD_ROWS + first_row
        var at = y.unsafe_offset(token * Int(rows) + row)
        comptime for m in range(Tile.DOWN // 16):
            comptime for half in range(2):
                comptime BELOW = m * 16 + half * 8
                if token + BELOW < Int(tokens):
                    var of_token = at.unsafe_offset(BELOW * Int(rows))
                    comptime for n in range(Tile.WIDTH // 8):
                        var found = sums[m * (Tile.WIDTH // 8) + n]
                        store_two(
                            of_token.unsafe_offset(n * 8),
                            found[2 * half],
                            found[2 * half + 1],
                            Int(rows) - row - n * 8,
                            rows % 2 == 0,
                        )


@always_inline
def store_two(
    at: Floats, first: Float32, second: Float32, left: Int, even: Bool
):
    """Store two neighbours, of which there are `left`; at once where `even` says that they never stand across 8 bytes."""
    if left >= 2 and even:
        at.unsafe_store[alignment=8](SIMD[DType.float32, 2](first, second))
    else:
        if left > 0:
            at[unsafe_offset=0] = first
        if left > 1:
            at[unsafe_offset=1] = second


def head_takes(
    y: Floats, x: BF16, w: BF16, *, tokens: Int, rows: Int, features: Int
) -> Bool:
    """Whether sizes and pointers are such that `dense_head` can copy 16 bytes at once and count in 32 bits."""
    return (
        features > 0
        and features % 8 == 0
        and (max(tokens, rows) + HEAD_ROWS) * features < 1 << 32
        and (Int(x) | Int(w)) % COPY == 0
        and Int(y) % 8 == 0
    )


def dense_head[
    OVERLAP: Bool = True
](
    y: Floats,
    x: BF16,
    w: BF16,
    *,
    tokens: Int,
    rows: Int,
    features: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue y = x times w transposed, accumulated and left in float32.

    Any numbers of tokens and rows are right; it is made for few tokens, see `FEW_TOKENS`, and for many more rows than
    `HEAD_ROWS` for each multiprocessor.

    Parameters:
        OVERLAP: Whether weights may be read before the kernel before has ended, which then must not be what makes them.

    Args:
        y: Result, float32 [M, N], aligned to 8 bytes.
        x: Tokens, bf16 [M, K], aligned to 16 bytes.
        w: Weights, bf16 [N, K], aligned to 16 bytes.
        tokens: M.
        rows: N.
        features: K, a multiple of 8.
        ctx: The device.

    Raises:
        When a size or a pointer is not as it must be, or the launch fails.
    """
    if not head_takes(y, x, w, tokens=tokens, rows=rows, features=features):
        raise Error(
            "dense matmul to float32: x is [",
            tokens,
            ", ",
            features,
            "] and w [",
            rows,
            ", ",
            features,
            (
                "]; features must come in multiples of 8, neither may have"
                " 2^32 values, x and w must be aligned to 16 bytes, y to 8"
            ),
        )
    if tokens == 0 or rows == 0:
        return
    var processors = Int(
        ctx.get_attribute(DeviceAttribute.MULTIPROCESSOR_COUNT)
    )
    var wanted = few_tile(tokens)
    comptime for i in range(4):
        comptime TOKENS = 16 << i
        comptime Shape = HeadShape[TOKENS]
        if wanted == TOKENS:
            ctx.enqueue_function[dense_head_kernel[TOKENS]](
                y,
                x,
                w,
                UInt32(tokens),
                UInt32(rows),
                UInt32(features),
                grid_dim=min(
                    processors,
                    ceildiv(rows, HEAD_ROWS) * ceildiv(tokens, TOKENS),
                ),
                block_dim=THREADS,
                shared_mem_bytes=Shape.SHARED_BYTES,
                func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
                    UInt32(Shape.SHARED_BYTES)
                ),
                attributes=launch_attributes[OVERLAP](),
            )
