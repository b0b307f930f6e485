"""The router for few tokens: a cluster of blocks shares the router's weights, so that no multiprocessor reads all of them.

With few tokens the time is that of asking for memory: a block that reads a whole router of 128 experts has not nearly
enough loads under way. Here eight blocks take an eighth of the features each, for the same tokens, and in a block each warp
takes 16 experts and a part of that eighth. With GPT-OSS's sizes a lane asks for all weights that it will ever need at
once; they go from memory to its registers, where the tensor core wants them.

Experts are the rows of `mma.m16n8k16`, tokens its columns. The warps of a block add up in shared memory what they have of
the same logits; every block sends its sums to that block of the cluster which chooses the token's experts, and that adds
eight sums in order. One launch, no memory for logits in between, and the same input gives the same bits.

The launch overlaps the kernel before (programmatic dependent launch): weights are asked for while that one ends.
"""

from std.math import ceildiv
from std.memory import bitcast, stack_allocation
from std.sys.info import _is_sm_9x
from std.utils.static_tuple import StaticTuple

from max.gpu import (
    MAX_THREADS_PER_BLOCK_METADATA,
    barrier,
    block_idx,
    lane_id,
    thread_idx,
)
from max.gpu.host import DeviceContext, Dim
from max.gpu.memory import (
    AddressSpace,
    fence_async_view_proxy,
    fence_mbarrier_init,
)
from max.gpu.primitives.grid_controls import PDLLevel, pdl_launch_attributes

from ..mma_tile import LANES
from ..pointers import BF16, ExpertIds, Floats
from ..ptx import (
    barrier_arrive_expect,
    barrier_init,
    barrier_wait_cluster,
    cluster_arrive_relaxed,
    cluster_send,
    cluster_wait,
    grid_release,
    grid_wait,
    multiply16,
    pin,
)
from .router_many import route_columns
from .top_experts import MAX_EXPERTS, check_sizes, choose_experts, order_key

comptime FEW_BLOCKS = 8
"""Blocks of a cluster: no Hopper GPU must take larger ones."""
comptime FEW_WARPS = 16
comptime FEW_THREADS = FEW_WARPS * LANES
comptime ROWS = 16
"""Experts of a warp: the rows of the instruction."""
comptime STEP = 32
"""Features of a step: 16 bytes for each of the four lanes that have a row, two instructions deep."""
comptime QUAD = 4
"""Sums that a thread adds up and sends at once."""

comptime Eight = SIMD[DType.uint32, 4]
"""Eight bf16 values, two a word: what a lane has of a row in a step."""


def few_tokens(tokens: Int) -> Int:
    """How many tokens a cluster takes, of so many: 8 or 16.

    16 clusters of eight blocks fill a GPU of 132 multiprocessors. More of them would read the router more often, and wait.
    """
    return 8 if tokens <= 128 else 16


def few_blocks(tokens: Int) -> Int:
    """How many blocks the launch for so many tokens has, in clusters of `FEW_BLOCKS`."""
    return ceildiv(tokens, few_tokens(tokens)) * FEW_BLOCKS


struct FewRoute[COLUMNS: Int, TOKENS: Int]:
    """How a cluster for at most `COLUMNS` experts and `TOKENS` tokens divides its work, and where its sums stand."""

    comptime TILES = Self.COLUMNS // ROWS
    """Warps of a block with the same features and other experts."""
    comptime PARTS = FEW_WARPS // Self.TILES
    """Warps of a block with the same experts and other features."""
    comptime STEPS = 2 if Self.COLUMNS == 32 else (6 if Self.TOKENS == 8 else 3)
    """Steps whose weights a lane asks for together.

    The 90 of GPT-OSS's 2880 features are at most 2 for each of 64 warps with the same experts, and 6 for each of 16; with 16
    tokens there are no registers for six.
    """
    comptime EIGHTS = Self.TOKENS // 8
    """Tokens of a warp, in the eights that the instruction takes."""
    comptime STRIDE = Self.COLUMNS + 4
    """Sums from one token to the next: what a warp stores at once then falls into different banks."""
    comptime SUMS = Self.PARTS * Self.TOKENS * Self.STRIDE
    """The sums of a block's warps."""
    comptime RECEIVED = Self.TOKENS * Self.COLUMNS
    """The sums that a block is sent: those of all blocks, for the tokens whose experts it chooses."""

    @staticmethod
    @always_inline
    def first_expert(warp: UInt32) -> UInt32:
        """The first of a warp's experts."""
        return warp % UInt32(Self.TILES) * UInt32(ROWS)

    @staticmethod
    @always_inline
    def part(warp: UInt32) -> UInt32:
        """Which of its block's features are this warp's."""
        return warp // UInt32(Self.TILES)

    @staticmethod
    @always_inline
    def first_step(block: UInt32, part: UInt32, steps: UInt32) -> UInt32:
        """The first step of a part of this block of the cluster; that of the next part, of this or the next block, is the
        end.
        """
        comptime ALL = UInt32(FEW_BLOCKS * Self.PARTS)
        return (block * UInt32(Self.PARTS) + part) * steps // ALL

    @staticmethod
    @always_inline
    def sum_place(part: UInt32, token: UInt32, expert: UInt32) -> UInt32:
        """Which of a block's sums is that of this part of its features."""
        return (part * UInt32(Self.TOKENS) + token) * UInt32(
            Self.STRIDE
        ) + expert

    @staticmethod
    @always_inline
    def choosing_block(token: UInt32) -> UInt32:
        """The block that chooses this token's experts."""
        return token % UInt32(FEW_BLOCKS)

    @staticmethod
    @always_inline
    def choosing_warp(token: UInt32) -> UInt32:
        """The warp of that block which does: one of the first `EIGHTS`."""
        return token // UInt32(FEW_BLOCKS)

    @staticmethod
    @always_inline
    def received_place(warp: UInt32, block: UInt32, expert: UInt32) -> UInt32:
        """Which of the sums that this warp needs is the one from this block."""
        return (warp * UInt32(FEW_BLOCKS) + block) * UInt32(
            Self.COLUMNS
        ) + expert


@always_inline
def _load(row: BF16, feature: UInt32) -> Eight:
    """Eight features of a row."""
    return (
        row.unsafe_offset(Int(feature))
        .unsafe_bitcast[UInt32]()
        .unsafe_load[width=4, alignment=16]()
    )


@always_inline
def _multiply[
    EIGHTS: Int
](
    mut logits: StaticTuple[SIMD[DType.float32, 4], 2 * EIGHTS],
    upper: Eight,
    lower: Eight,
    values: StaticTuple[Eight, EIGHTS],
):
    """Add the products of a step.

    A lane's 16 bytes are eight features of one row, and four lanes have 32. Which of them the instruction takes for which k
    does not matter as long as router and tokens agree: its first 16 are the lower halves of these 16 bytes, its next 16 the
    upper halves. The halves have sums of their own, so that fewer instructions wait for another.
    """
    comptime for half in range(2):
        comptime for n in range(EIGHTS):
            logits[2 * n + half] = multiply16(
                upper[2 * half],
                lower[2 * half],
                upper[2 * half + 1],
                lower[2 * half + 1],
                values[n][2 * half],
                values[n][2 * half + 1],
                logits[2 * n + half],
            )


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](Int32(FEW_THREADS)),
    `nvvm.cluster_dim`=StaticTuple[Int32, 3](Int32(FEW_BLOCKS), 1, 1),
)
def route_few_kernel[
    COLUMNS: Int, TOKENS: Int
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
    """One cluster of `FEW_BLOCKS` blocks for `TOKENS` tokens; see `router.route`. Launch with `FEW_THREADS`.

    Parameters:
        COLUMNS: Most experts: 32, 128 or 256, see `router_many.route_columns`.
        TOKENS: See `few_tokens`.
    """
    comptime assert _is_sm_9x(), "mxfp4 routing needs Hopper (sm_90)"
    comptime Shape = FewRoute[COLUMNS, TOKENS]
    comptime STEPS = Shape.STEPS
    comptime EIGHTS = Shape.EIGHTS
    comptime EACH = COLUMNS // LANES
    comptime assert Shape.TILES * Shape.PARTS == FEW_WARPS
    # What a warp stores at once are eight experts of every other of eight tokens.
    comptime assert 2 * Shape.STRIDE % 32 == 8

    var sums = stack_allocation[
        Shape.SUMS,
        Float32,
        address_space=AddressSpace.SHARED,
        alignment=16,
    ]()
    var received = stack_allocation[
        Shape.RECEIVED,
        Float32,
        address_space=AddressSpace.SHARED,
        alignment=16,
    ]()
    var arrived = stack_allocation[
        EIGHTS, UInt64, address_space=AddressSpace.SHARED, alignment=8
    ]()
    var thread = UInt32(thread_idx.x)
    var lane = UInt32(lane_id())
    var warp_index = thread // UInt32(LANES)
    var block = UInt32(block_idx.x) % UInt32(FEW_BLOCKS)
    var first = UInt32(block_idx.x) // UInt32(FEW_BLOCKS) * UInt32(TOKENS)
    var quads = ceildiv(experts, UInt32(QUAD))
    if thread == 0:
        comptime for n in range(EIGHTS):
            var address = UInt32(Int(arrived)) + UInt32(n * 8)
            barrier_init(address, 1)
            barrier_arrive_expect(
                address, quads * UInt32(FEW_BLOCKS * QUAD * 4)
            )
        fence_mbarrier_init()
        fence_async_view_proxy()
    # Nobody sends to a block that has not begun; the wait is where it sends.
    cluster_arrive_relaxed()

    # ---- The rows of a lane. Experts and tokens beyond the last are that one again: what comes of it is in rows and
    # columns that nobody reads.
    var group = lane // 4
    var at = lane % 4 * 8
    var expert = Shape.first_expert(warp_index)
    var part = Shape.part(warp_index)
    var begin = Shape.first_step(block, part, features // UInt32(STEP))
    var end = Shape.first_step(block, part + 1, features // UInt32(STEP))
    # What the last step has less than 32 features of is the last part's.
    var ragged = features % UInt32(STEP) != 0 and block * UInt32(
        Shape.PARTS
    ) + part == UInt32(FEW_BLOCKS * Shape.PARTS - 1)
    if expert >= experts:
        end = begin
        ragged = False
    var rows = StaticTuple[BF16, 2](router, router)
    comptime for r in range(2):
        rows[r] = router.unsafe_offset(
            Int(min(expert + group + UInt32(8 * r), experts - 1) * features)
        )
    var columns = StaticTuple[BF16, EIGHTS](fill=x)
    comptime for n in range(EIGHTS):
        columns[n] = x.unsafe_offset(
            Int(min(first + UInt32(8 * n) + group, tokens - 1)) * Int(features)
        )

    @always_inline
    def feature(step: UInt32) {imm} -> UInt32:
        """The first of a lane's features in a step, or the last ones that there are: those beyond a part are not used."""
        return min(step * UInt32(STEP) + at, features - 8)

    # ---- Logits.
    var w = StaticTuple[Eight, 2 * STEPS]()
    if begin < end:
        comptime for i in range(STEPS):
            comptime for r in range(2):
                w[2 * i + r] = _load(rows[r], feature(begin + UInt32(i)))
    # Those who choose experts need the bias. Its bits are left as they come: to touch them would be to wait for them here.
    var biases = StaticTuple[UInt32, EACH](fill=0)
    if warp_index < UInt32(EIGHTS):
        comptime for i in range(EACH):
            biases[i] = UInt32(
                bias.unsafe_bitcast[UInt16]()[
                    unsafe_offset=Int(
                        min(UInt32(i * LANES) + lane, experts - 1)
                    )
                ]
            )

    # Up to here nothing was read that a kernel before may write, and nothing was written. The kernel behind may begin: it waits
    # for this one's end.
    grid_release()
    grid_wait()
    var logits = StaticTuple[SIMD[DType.float32, 4], 2 * EIGHTS]()
    comptime for i in range(2 * EIGHTS):
        logits[i] = SIMD[DType.float32, 4](0)
    var step = begin
    while step < end:
        var v = StaticTuple[StaticTuple[Eight, EIGHTS], STEPS]()
        comptime for i in range(STEPS):
            comptime for n in range(EIGHTS):
                v[i][n] = _load(columns[n], feature(step + UInt32(i)))
        comptime for i in range(STEPS):
            if step + UInt32(i) < end:
                _multiply[EIGHTS](logits, w[2 * i], w[2 * i + 1], v[i])
        step += UInt32(STEPS)
        if step < end:
            comptime for i in range(STEPS):
                comptime for r in range(2):
                    w[2 * i + r] = _load(rows[r], feature(step + UInt32(i)))
    if ragged:
        # Features that there are not are zero in both: nothing else is sure to be a number.
        var beyond = features // UInt32(STEP) * UInt32(STEP) + at
        var upper = Eight(0)
        var lower = Eight(0)
        var values = StaticTuple[Eight, EIGHTS](fill=Eight(0))
        if beyond < features:
            upper = _load(rows[0], beyond)
            lower = _load(rows[1], beyond)
            comptime for n in range(EIGHTS):
                values[n] = _load(columns[n], beyond)
        _multiply[EIGHTS](logits, upper, lower, values)

    # ---- What the warps of a block have of the same logits, added up for the block that chooses.
    comptime for n in range(EIGHTS):
        var sum = logits[2 * n] + logits[2 * n + 1]
        comptime for i in range(4):
            sums[
                unsafe_offset=Int(
                    Shape.sum_place(
                        part,
                        UInt32(8 * n + i % 2) + lane % 4 * 2,
                        expert + group + UInt32(i // 2 * 8),
                    )
                )
            ] = sum[i]
    barrier()
    cluster_wait()
    var present = min(UInt32(TOKENS), tokens - first)
    comptime ACROSS = UInt32(COLUMNS // QUAD)
    var unit = thread
    while unit < present * ACROSS:
        var token = unit // ACROSS
        var quad = unit % ACROSS
        if quad < quads:
            var sum = SIMD[DType.float32, QUAD](0)
            comptime for other in range(Shape.PARTS):
                sum += sums.unsafe_offset(
                    Int(
                        Shape.sum_place(
                            UInt32(other), token, quad * UInt32(QUAD)
                        )
                    )
                ).unsafe_load[width=QUAD, alignment=16]()
            var to = Shape.choosing_warp(token)
            cluster_send(
                UInt32(Int(received))
                + Shape.received_place(to, block, quad * UInt32(QUAD)) * 4,
                UInt32(Int(arrived)) + to * 8,
                Shape.choosing_block(token),
                sum,
            )
        unit += UInt32(FEW_THREADS)

    # ---- The highest logits, and their softmax: a warp a token. Nobody sends to a block without one.
    var mine = warp_index * UInt32(FEW_BLOCKS) + block
    if mine >= present:
        return
    barrier_wait_cluster(UInt32(Int(arrived)) + warp_index * 8, 0)
    var keys = SIMD[DType.uint32, EACH](0)
    comptime for i in range(EACH):
        var logit = Float32(0)
        comptime for other in range(FEW_BLOCKS):
            logit += received[
                unsafe_offset=Int(
                    Shape.received_place(
                        warp_index, UInt32(other), UInt32(i * LANES) + lane
                    )
                )
            ]
        logit += bitcast[DType.float32, 1](pin(biases[i]) << 16)
        # What stands where no expert is means nothing.
        if UInt32(i * LANES) + lane < experts:
            keys[i] = order_key(logit)
    choose_experts(chosen, weights, keys, Int(first + mine), Int(top))


def route_few(
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
    """Enqueue what `route` does, with the kernel for few tokens, of which it takes any number."""
    check_sizes(experts, top, features)
    if tokens == 0:
        return
    comptime for i in range(6):
        comptime COLUMNS = [32, 128, MAX_EXPERTS][i // 2]
        comptime TOKENS = [8, 16][i % 2]
        if route_columns(experts) == COLUMNS and few_tokens(tokens) == TOKENS:
            ctx.enqueue_function[route_few_kernel[COLUMNS, TOKENS]](
                chosen,
                weights,
                x,
                router,
                bias,
                UInt32(tokens),
                UInt32(features),
                UInt32(experts),
                UInt32(top),
                grid_dim=few_blocks(tokens),
                block_dim=FEW_THREADS,
                cluster_dim=Dim(FEW_BLOCKS, 1, 1),
                attributes=pdl_launch_attributes(PDLLevel.ON),
            )
