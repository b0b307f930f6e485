"""The MXFP4 x bf16 grouped matmul for Hopper (sm_90a): y[rows of g] = x[rows of g] @ dequantize(w[expert of g])^T.

One persistent kernel, read from top to bottom: shared-memory plan, barriers, producers, consumers, epilogue.

- Weights are the A operand of WGMMA, from registers: 16 bytes of codes a lane, decoded by bit operations, never written
  back. Tokens are the B operand, from shared memory. So weight rows fill the 64 rows of the instruction, and a batch
  of 8 tokens wastes nothing.
- A thread block has one warpgroup that loads: a thread for each 64 weight rows streams weights (`cp.async.bulk`), two
  warps gather tokens (`cp.async`, 16 bytes a lane, written in the 128-byte swizzle that WGMMA reads). The others
  multiply: with few tokens four of them, which share the K of the same rows, with many two, 64 weight rows each. A ring
  of `STAGES` slots stands between, with a full and an empty barrier a slot.
- All shapes are runtime values; only the largest number of tokens in a tile is compiled in (`TOKENS`).

docs/kernel.md tells why it is so and what else was tried.

The numeric contract: see `format.mojo`; products are accumulated in float32, the epilogue is float32, and the result is
rounded to bf16 once.
"""

from std.bit import next_power_of_two
from std.math import align_up, ceildiv, exp, sqrt
from std.memory import Pointer, bitcast
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
from max.gpu.primitives import warp
from max.gpu.primitives.grid_controls import PDLLevel, pdl_launch_attributes

from .format import (
    excess_multiplier,
    gather_codes,
    half_of_both,
    multiply_pairs,
    scale_multiplier,
    scale_multipliers,
)
from .layout import Bytes, CODE_WORDS, TILE, TILE_WORDS
from .ptx import (
    any_lane,
    barrier_arrive,
    barrier_arrive_expect,
    barrier_init,
    barrier_init_fence,
    barrier_wait,
    bulk_copy,
    byte,
    copy16,
    copy_commit,
    copy_wait,
    evict_first,
    grid_release,
    grid_wait,
    group_barrier,
    group_barrier_arrive,
    hold,
    pin,
    prefetch,
    proxy_fence,
    reciprocal,
    sleep,
    transpose8,
)
from .scheduler import (
    ExpertIds,
    GroupStarts,
    RowIndices,
    SharedCounts,
    TURNS,
    Tile,
    Turns,
    count_tiles,
    tile_at,
)

comptime Half = Pointer[BFloat16, MutAnyOrigin]
comptime SharedBytes = Pointer[
    UInt8, MutUntrackedOrigin, address_space=AddressSpace.SHARED
]

comptime MAX_GROUPS = 1024
"""Most expert groups in one call: their tile counts live in shared memory."""

comptime END = UInt32.MAX
"""Stands in place of an expert where no more units come."""

comptime TILE_BYTES = TILE_WORDS * 4
"""Codes and scales of a tile."""

comptime PLAIN = 0
"""Epilogue: y = x w^T."""
comptime BIAS = 1
"""Epilogue: y = x w^T + b."""
comptime SWIGLU = 2
"""Epilogue: GPT-OSS's gated activation of x w^T + b, gate in even and up in odd weight rows."""

comptime SWIGLU_ALPHA = Float32(1.702)
comptime SWIGLU_LIMIT = Float32(7.0)


@always_inline
def split[tokens: Int, parts: Int]() -> Int:
    """Warpgroups that share the K of one tile of weight rows, taking its steps in turn.

    With few tokens the decode is the work, and two warps a scheduler do not hide its latency; with many tokens the
    accumulators leave no registers for more.
    """
    return 4 // parts if tokens <= 32 else 1


@always_inline
def threads[tokens: Int, parts: Int]() -> Int:
    """Threads of a block: one warpgroup that loads and those that multiply."""
    return 128 * (1 + parts * split[tokens, parts]())


@always_inline
def loaders[tokens: Int]() -> Int:
    """Threads that copy tokens: eight 16-byte pieces make a row of 64 columns, so each eight threads are a row of a pass.

    With few tokens, those that stream weights do nothing else, and never wait for a token. With many, two warps would
    not keep up.
    """
    return 64 if tokens <= 64 else 128


@always_inline
def depth[tokens: Int]() -> Int:
    """Steps that a warpgroup finds in one slot of the ring: two where that leaves enough slots, for half the waiting."""
    return 2 if tokens <= 64 else 1


@always_inline
def in_turn[tokens: Int]() -> Bool:
    """Whether a block takes the next unit when it is free, and not each so many units further on: where it was faster."""
    return tokens == 8 or tokens == 64


@always_inline
def halved[tokens: Int, parts: Int]() -> Bool:
    """Whether the last units are given out tile by tile of rows, so that all blocks end at about the same time: where the memory
    is the limit and not the tensor cores, which half a unit leaves idle.
    """
    return tokens == 8 and parts == 2


@always_inline
def slot_steps[tokens: Int, parts: Int]() -> Int:
    """Steps in one slot, each 64 columns of K."""
    return split[tokens, parts]() * depth[tokens]()


@always_inline
def slot_bytes[tokens: Int, parts: Int]() -> Int:
    """Tokens and weights of one slot."""
    return slot_steps[tokens, parts]() * (
        tokens * TILE * 2 + parts * TILE_BYTES
    )


@always_inline
def exchange_bytes[tokens: Int, parts: Int]() -> Int:
    """Where all but the first of the warpgroups that share a K leave their sums for the first."""
    return parts * (split[tokens, parts]() - 1) * 128 * (tokens // 2) * 4


@always_inline
def stages[tokens: Int, parts: Int]() -> Int:
    """Slots of the ring: as deep as shared memory allows, at most 16."""
    return min(
        16,
        (220 * 1024 - exchange_bytes[tokens, parts]())
        // slot_bytes[tokens, parts](),
    )


@always_inline
def shared_bytes[tokens: Int, parts: Int]() -> Int:
    """Dynamic shared memory of the kernel, in bytes; must not exceed the 227 KiB of a thread block on sm_90."""
    return (
        stages[tokens, parts]() * (slot_bytes[tokens, parts]() + 16 + 16)
        + exchange_bytes[tokens, parts]()
        + TURNS * (8 + 4)
        + 4 * MAX_GROUPS
    )


@always_inline
def has_large(scales: UInt32) -> Bool:
    """Whether one of four scales is above 127, in any lane of the warp; 2^(scale - 1) is not a bf16 for those above 128.

    No trained model has them: they are weights of 2 and more. All lanes get the same answer, because WGMMA needs them
    together.
    """
    return any_lane((scales & 0x8080_8080) != 0)


@always_inline
def decode(
    codes: SIMD[DType.uint32, 4], scales: UInt32, large: Bool
) -> SIMD[DType.uint32, 16]:
    """Turn a lane's 32 codes into the A registers of four k steps.

    Args:
        codes: One word a k step.
        scales: Four bytes, [2 rows][2 blocks of 32 columns].
        large: Whether `has_large(scales)`, or more.

    Returns:
        Pairs of bf16; register r of step s at index 4s + r.
    """
    var a = SIMD[DType.uint32, 16]()
    comptime for block in range(2):
        var factors = scale_multipliers[block](scales)
        comptime for step in range(2 * block, 2 * block + 2):
            comptime for reg in range(4):
                # Odd registers are the second row.
                a[4 * step + reg] = multiply_pairs(
                    gather_codes[reg](codes[step]),
                    half_of_both[reg % 2](factors),
                )
    if large:
        # `pin` keeps the compiler from computing both sides and selecting, which would cost every step 50 instructions.
        var again = pin(scales)
        comptime for i in range(4):
            var scale = byte[i](again)
            var factor = scale_multiplier(min(scale, 128))
            var excess = excess_multiplier(scale)
            # Byte i belongs to row i / 2 and block i % 2.
            comptime for s in range(2):
                comptime for r in range(2):
                    comptime step = (i % 2) * 2 + s
                    comptime reg = i // 2 + 2 * r
                    a[4 * step + reg] = multiply_pairs(
                        multiply_pairs(gather_codes[reg](codes[step]), factor),
                        excess,
                    )
    return a


@always_inline
def swiglu(gate: Float32, up: Float32) -> Float32:
    """GPT-OSS's gated activation: (up + 1) * gate * sigmoid(alpha * gate), both clamped first."""
    # Not `min` and `max`: those drop a NaN, and a broken weight would come out as a plausible number.
    var g = SWIGLU_LIMIT if gate > SWIGLU_LIMIT else gate
    var u = SWIGLU_LIMIT if up > SWIGLU_LIMIT else up
    u = -SWIGLU_LIMIT if u < -SWIGLU_LIMIT else u
    # The gate's product first: (u + 1) * g can overflow where the sigmoid is zero.
    return (u + 1) * (g * reciprocal(1 + exp(-SWIGLU_ALPHA * g)))


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


def room(width: Int) -> Int:
    """Accumulators of a lane for a tile of `width` tokens, rounded up to a power of two; the rest takes no register."""
    return next_power_of_two(width) // 2


struct WeightLoader[TOKENS: Int, PARTS: Int](TrivialRegisterPassable):
    """A thread that streams the weights of one tile of rows: one copy a slot."""

    comptime BYTES = slot_steps[Self.TOKENS, Self.PARTS]() * TILE_BYTES

    var target: UInt32
    """Where its weights lie in slot 0."""
    var full: UInt32
    """The barriers that say that a slot is full."""
    var units: Pointer[
        UInt32, MutUntrackedOrigin, address_space=AddressSpace.SHARED
    ]
    """What the consumers work on, beside each slot."""
    var part: Int
    """Which tile of rows of a unit."""
    var policy: UInt64
    """Each weight is read once, or by several blocks at about the same time: let it leave the cache before anything else."""
    var tile: Tile
    """The unit."""
    var source: UInt64
    """Address of what comes next."""
    var left: UInt32
    """Bytes that are still to come of this unit."""
    var is_first: Bool
    """Whether nothing of this unit has come yet."""

    @always_inline
    def __init__(
        out self,
        slots: UInt32,
        full: UInt32,
        units: Pointer[
            UInt32, MutUntrackedOrigin, address_space=AddressSpace.SHARED
        ],
        part: Int,
    ):
        self.target = slots + UInt32(part * Self.BYTES)
        self.full = full
        self.units = units
        self.part = part
        self.policy = evict_first()
        self.tile = Tile(0, 0, 0, 0, 0)
        self.source = 0
        self.left = 0
        self.is_first = False

    @always_inline
    def begin[
        EPILOGUE: Int
    ](
        mut self,
        tile: Tile,
        weights: Bytes,
        bias: Half,
        n: UInt32,
        steps: UInt32,
    ):
        """Go to the next unit."""
        var row_tile = tile.row_block * UInt32(Self.PARTS) + UInt32(self.part)
        var row_tiles = ceildiv(n, UInt32(TILE))
        self.tile = tile
        self.source = UInt64(
            Int(weights)
            + Int((tile.expert * row_tiles + row_tile) * steps) * TILE_BYTES
        )
        # The last unit of an expert may lack its second tile of rows.
        var is_mine = tile.only == 0 or tile.only == UInt32(1 + self.part)
        self.left = (
            steps * UInt32(TILE_BYTES) if is_mine
            and row_tile < row_tiles else 0
        )
        self.is_first = True
        comptime if EPILOGUE != PLAIN:
            # Who writes the results wants their bias only then, and would wait for memory.
            if row_tile < row_tiles:
                prefetch(
                    UInt64(
                        Int(bias)
                        + Int(tile.expert * n + row_tile * UInt32(TILE)) * 2
                    )
                )

    @always_inline
    def fill(mut self, slot: UInt32):
        """Fill its part of a slot, which is empty."""
        if self.is_first and self.part == 0:
            # The consumers learn from here what they work on; the slot's barrier publishes it.
            self.units.unsafe_offset(Int(slot) * 4).unsafe_store[alignment=16](
                SIMD[DType.uint32, 4](
                    self.tile.expert,
                    self.tile.row_block | self.tile.only << 30,
                    self.tile.first,
                    self.tile.tokens,
                )
            )
        self.is_first = False
        var bytes = min(self.left, UInt32(Self.BYTES))
        self.left -= bytes
        if bytes > 0:
            barrier_arrive_expect(self.full + slot * 8, bytes)
            bulk_copy(
                self.target + slot * UInt32(Self.PARTS * Self.BYTES),
                self.source,
                bytes,
                self.full + slot * 8,
                self.policy,
            )
            self.source += UInt64(Self.BYTES)
        else:
            barrier_arrive(self.full + slot * 8)

    @always_inline
    def finish(self, slot: UInt32):
        """Say in a slot, which is empty, that no more comes."""
        if self.part == 0:
            self.units[unsafe_offset=Int(slot) * 4] = END
        barrier_arrive(self.full + slot * 8)


struct TokenLoader[TOKENS: Int, PARTS: Int, GATHER: Bool](
    TrivialRegisterPassable
):
    """A thread that copies tokens: column piece `piece` of rows `row`, `row` + `PASS`, ..."""

    comptime PASS = loaders[Self.TOKENS]() // 8
    comptime ROWS = Self.TOKENS // Self.PASS
    comptime STAGES = stages[Self.TOKENS, Self.PARTS]()
    comptime LAG = Self.STAGES // 2
    comptime STEPS = slot_steps[Self.TOKENS, Self.PARTS]()
    comptime TOKEN_BYTES = Self.TOKENS * TILE * 2

    var target: UInt32
    """Where its piece of its first row lies in slot 0."""
    var full: UInt32
    """The barriers that say that a slot is full."""
    var piece: Int
    """Which 16 bytes of a row of 64 columns."""
    var row: Int
    """Its first row in the tile."""
    var tile: Tile
    """The unit."""
    var held: SIMD[DType.uint32, Self.ROWS if Self.GATHER else 1]
    """Where its rows come from."""
    var issued: UInt32
    """Slots that it has begun to fill."""
    var landed: Ring[Self.STAGES]
    """The oldest slot of which it has not said that it is full."""

    @always_inline
    def __init__(out self, slots: UInt32, full: UInt32, thread: Int):
        self.piece = thread % 8
        self.row = thread // 8
        # 128-byte swizzle: the piece's place is xor-ed with the row number modulo 8, which is the same for all its rows.
        self.target = slots + UInt32(
            self.row * 128 + (self.piece ^ (self.row % 8)) * 16
        )
        self.full = full
        self.tile = Tile(0, 0, 0, 0, 0)
        self.held = 0
        self.issued = 0
        self.landed = Ring[Self.STAGES]()

    @always_inline
    def begin(mut self, tile: Tile, sources: RowIndices):
        """Go to the next unit."""
        self.tile = tile
        comptime if Self.GATHER:
            comptime for i in range(Self.ROWS):
                if i * Self.PASS < Int(tile.tokens) - self.row:
                    self.held[i] = sources[
                        unsafe_offset=Int(tile.first) + self.row + i * Self.PASS
                    ]

    @always_inline
    def fill(mut self, slot: UInt32, index: UInt32, x: Half, k: UInt32):
        """Fill its part of a slot, which is empty, with the columns of the unit's slot `index`."""
        comptime for step in range(Self.STEPS):
            var column = (
                Int(index) * Self.STEPS + step
            ) * TILE + self.piece * 8
            # NOTE: what decides about a row must depend on the step, or the compiler keeps one register a row alive
            # over all steps and spills.
            var remaining = (
                Int(self.tile.tokens) - self.row if column < Int(k) else 0
            )
            var source = x.unsafe_offset(column)
            comptime if not Self.GATHER:
                source = source.unsafe_offset(
                    (Int(self.tile.first) + self.row) * Int(k)
                )
            comptime for i in range(Self.ROWS):
                comptime if i * Self.PASS % 32 == 0:
                    # Beyond the tile's width nobody reads.
                    if UInt32(i * Self.PASS) >= self.tile.tokens:
                        break
                var from_here = source
                comptime if Self.GATHER:
                    from_here = source.unsafe_offset(Int(self.held[i]) * Int(k))
                copy16(
                    self.target
                    + slot * UInt32(Self.STEPS * Self.TOKEN_BYTES)
                    + UInt32(
                        step * Self.TOKEN_BYTES + i * Self.PASS * TILE * 2
                    ),
                    from_here,
                    UInt32(16) if i * Self.PASS < remaining else 0,
                )
                comptime if not Self.GATHER:
                    source = source.unsafe_offset(Self.PASS * Int(k))
        copy_commit()
        # NOTE: these writes go through the generic proxy, WGMMA reads through the asynchronous one: the writer must fence
        # after its copies landed and before it arrives, hence the lag.
        self.issued += 1
        if self.issued > UInt32(Self.LAG):
            copy_wait[Self.LAG]()
            self._arrive()

    @always_inline
    def finish(mut self):
        """Say of the last slots that they are full."""
        copy_wait[0]()
        for _ in range(min(self.issued, UInt32(Self.LAG))):
            self._arrive()

    @always_inline
    def _arrive(mut self):
        proxy_fence()
        barrier_arrive(self.full + self.landed.slot * 8)
        self.landed.advance()


@fieldwise_init
struct Slot[steps: Int](TrivialRegisterPassable):
    """A full slot, as a warp that multiplies sees it."""

    var index: UInt32
    """Which slot of the ring."""
    var scales: SIMD[DType.uint32, Self.steps]
    """This lane's scales of each step."""
    var large: Bool
    """Whether some are above what the short decode takes."""


struct Consumer[TOKENS: Int, PARTS: Int](TrivialRegisterPassable):
    """What a warp that multiplies keeps: where its part of a slot lies."""

    comptime DEPTH = depth[Self.TOKENS]()
    comptime STAGES = stages[Self.TOKENS, Self.PARTS]()
    comptime TOKEN_BYTES = Self.TOKENS * TILE * 2
    comptime SLOT_STEPS = slot_steps[Self.TOKENS, Self.PARTS]()
    comptime SLOT_WEIGHTS = Self.PARTS * Self.SLOT_STEPS * TILE_BYTES

    var memory: SharedBytes
    """The weight slots."""
    var codes: UInt32
    """Where this lane's codes lie in slot 0."""
    var scales: UInt32
    """Where this lane's scales lie in slot 0."""
    var descriptor: UInt32
    """Low word of the matrix descriptor of the tokens in slot 0."""
    var full: UInt32
    """The barriers that say that a slot is full."""
    var empty: UInt32
    """The barriers that say that a slot is empty."""

    @always_inline
    def __init__(
        out self,
        memory: SharedBytes,
        tokens: UInt32,
        full: UInt32,
        empty: UInt32,
        part: Int,
        turn: Int,
        thread: Int,
    ):
        """Set up for tile of rows `part` and turn `turn` among those that share its K; `thread` counts in the warpgroup."""
        self.memory = memory
        var tile = (part * Self.SLOT_STEPS + turn) * TILE_BYTES
        # Pinned, or the compiler computes them anew in every step.
        self.codes = pin(UInt32(tile + thread * 16))
        self.scales = pin(
            UInt32(
                tile + CODE_WORDS * 4 + thread // 32 * 32 + thread % 32 // 4 * 4
            )
        )
        # PTX ISA, "Matrix Descriptor Format": address / 16 in bits 13:0; the leading offset (bits 29:16) does not
        # matter in this mode.
        self.descriptor = pin(
            ((tokens + UInt32(turn * Self.TOKEN_BYTES)) & 0x3FFFF) >> 4
            | (1 << 16)
        )
        self.full = full
        self.empty = empty

    @always_inline
    def _scales[half: Int](self, slot: UInt32) -> UInt32:
        return (
            self.memory.unsafe_offset(
                Int(slot * UInt32(Self.SLOT_WEIGHTS) + self.scales)
                + half * TILE_BYTES
            )
            .unsafe_bitcast[UInt32]()
            .unsafe_load[alignment=4]()
        )

    @always_inline
    def open(self, at: Ring[Self.STAGES]) -> Slot[Self.DEPTH]:
        """Wait until a slot is full, and read the scales of all its steps."""
        barrier_wait(self.full + at.slot * 8, at.phase)
        var scales = SIMD[DType.uint32, Self.DEPTH](0)
        comptime for half in range(Self.DEPTH):
            scales[half] = self._scales[half](at.slot)
        # Beyond the last step stands what an earlier slot left: at worst a step is decoded the long way.
        return Slot[Self.DEPTH](at.slot, scales, has_large(scales.reduce_or()))

    @always_inline
    def tokens(self, slot: Slot[Self.DEPTH]) -> UInt32:
        """Low word of the matrix descriptor of the tokens of a slot's first step."""
        # All lanes have the same. Said so right where it is used, the descriptors are computed once a warp.
        return warp.shuffle_idx(
            self.descriptor
            + slot.index * UInt32(Self.SLOT_STEPS * Self.TOKEN_BYTES >> 4),
            0,
        )

    @always_inline
    def take[half: Int](self, slot: Slot[Self.DEPTH]) -> SIMD[DType.uint32, 16]:
        """Decode this lane's weights of one step of an open slot."""
        var a = decode(
            self.memory.unsafe_offset(
                Int(slot.index * UInt32(Self.SLOT_WEIGHTS) + self.codes)
                + half * TILE_BYTES
            )
            .unsafe_bitcast[UInt32]()
            .unsafe_load[width=4, alignment=16](),
            slot.scales[half],
            slot.large,
        )
        comptime for i in range(16):
            a[i] = pin(a[i])
        return a

    @always_inline
    def start[
        WIDTH: Int, half: Int
    ](
        self,
        sums: SIMD[DType.float32, room(WIDTH)],
        a: SIMD[DType.uint32, 16],
        tokens: UInt32,
    ) -> SIMD[DType.float32, room(WIDTH)]:
        """Start sums += A B over the four k16 of a step, as one group of WGMMA; `a` must stay in its registers
        until the wait.
        """
        # K-major, 1024 bytes between groups of eight rows (/ 16 in bits 13:0), 128-byte swizzle (1 in bits 31:30).
        comptime high = Int64(1 << 30 | 1024 >> 4) << 32
        var result = sums
        wgmma_fence_aligned()
        comptime for s in range(4):
            # The instruction takes powers of two here; 96 tokens are 64 and 32.
            comptime for bit in range(8, 2, -1):
                comptime chunk = 1 << bit
                comptime first = WIDTH // (2 * chunk) * (2 * chunk)
                comptime if WIDTH & chunk != 0:
                    result = result.insert[offset=first // 2](
                        wgmma_async[
                            64,
                            chunk,
                            16,
                            a_type=DType.bfloat16,
                            b_type=DType.bfloat16,
                        ](
                            bitcast[DType.bfloat16, 8](
                                a.slice[4, offset=4 * s]()
                            ),
                            # A k step is 32 bytes further in every row, a token 128; descriptors count in 16.
                            WGMMADescriptor[DType.bfloat16](
                                high
                                | Int64(
                                    tokens
                                    + UInt32(
                                        (half * Self.TOKEN_BYTES >> 4)
                                        + first * 8
                                        + s * 2
                                    )
                                )
                            ),
                            result.slice[chunk // 2, offset=first // 2](),
                        )
                    )
        wgmma_commit_group_sync()
        return result

    @always_inline
    def finish[
        last: Bool
    ](self, a: SIMD[DType.uint32, 16], slot: Slot[Self.DEPTH]):
        """Wait for the tensor cores, which read `a` until then, and hand the slot back after its last step."""
        wgmma_wait_group_sync()
        hold(a)
        comptime if last:
            self.release(slot.index)

    @always_inline
    def release(self, slot: UInt32):
        """Hand a slot back."""
        if lane_id() == 0:
            barrier_arrive(self.empty + slot * 8)

    @always_inline
    def run[
        WIDTH: Int
    ](self, mut ring: Ring[Self.STAGES], steps: UInt32) -> SIMD[
        DType.float32, room(WIDTH)
    ]:
        """Multiply over `steps` steps, at least one.

        While the tensor cores work on one step, the next is decoded.
        """
        # NOTE: WGMMA reads its A registers while it runs, and ptxas does not keep them alive for it. Hence two sets of
        # registers, `hold` after the wait, and a loop whose back edge carries a decoded set but never one that the
        # tensor cores still read: a copy made there would leave the original unprotected.
        var sums = SIMD[DType.float32, room(WIDTH)](0)
        # Steps alternate between the two sets; where a slot has two, the second is always `b`'s.
        comptime SECOND = Self.DEPTH - 1
        comptime ALONE = Self.DEPTH == 1
        var at_a = self.open(ring)
        var a = self.take[0](at_a)
        for _ in range((steps - 1) // 2):
            var tokens = self.tokens(at_a)
            sums = self.start[WIDTH, 0](sums, a, tokens)
            var at_b = at_a
            comptime if ALONE:
                ring.advance()
                at_b = self.open(ring)
                tokens = self.tokens(at_b)
            var b = self.take[SECOND](at_b)
            self.finish[ALONE](a, at_a)
            sums = self.start[WIDTH, SECOND](sums, b, tokens)
            ring.advance()
            at_a = self.open(ring)
            a = self.take[0](at_a)
            self.finish[True](b, at_b)
        var tokens = self.tokens(at_a)
        sums = self.start[WIDTH, 0](sums, a, tokens)
        if steps % 2 == 0:
            var at_b = at_a
            comptime if ALONE:
                ring.advance()
                at_b = self.open(ring)
                tokens = self.tokens(at_b)
            var b = self.take[SECOND](at_b)
            self.finish[ALONE](a, at_a)
            sums = self.start[WIDTH, SECOND](sums, b, tokens)
            self.finish[True](b, at_b)
        else:
            self.finish[True](a, at_a)
        ring.advance()
        comptime for i in range(WIDTH // 2):
            sums[i] = pin(sums[i])
        return sums


struct Units[TOKENS: Int, PARTS: Int](TrivialRegisterPassable):
    """The sequence of units: those of all groups, of which the last are halved."""

    var whole: UInt32
    """Units of `PARTS` tiles of rows."""
    var count: UInt32
    """Units with halves."""

    @always_inline
    def __init__(out self, whole: UInt32, halves: UInt32):
        """The last `halves` of `whole` units become two each, where the kernel takes halves."""
        self.whole = whole
        self.count = whole
        comptime if halved[Self.TOKENS, Self.PARTS]():
            self.count += halves

    @always_inline
    def at(
        self,
        index: UInt32,
        ends: SharedCounts,
        starts: GroupStarts,
        ids: ExpertIds,
        groups: UInt32,
    ) -> Tile:
        """Look up unit `index`, which must be smaller than `count`."""
        comptime if halved[Self.TOKENS, Self.PARTS]():
            var first = 2 * self.whole - self.count
            if index >= first:
                var half = index - first
                var tile = tile_at[Self.TOKENS](
                    first + half // 2, ends, starts, ids, groups
                )
                tile.only = 1 + half % 2
                return tile
        return tile_at[Self.TOKENS](index, ends, starts, ids, groups)


@always_inline
def write[
    WIDTH: Int, EPILOGUE: Int
](
    sums: SIMD[DType.float32, room(WIDTH)],
    y: Half,
    bias: Half,
    tile: Tile,
    row: UInt32,
    rows: UInt32,
):
    """Finish the sums of a warp and store them.

    Accumulator 4j + 2p + q of a lane (PTX ISA, "Register Fragments", matrix D) is weight row 2g + p of the warp's 16 and
    token 8j + 2t + q, with g = lane / 4 and t = lane % 4.

    Args:
        sums: The sums.
        y: Result.
        bias: Bias of all experts.
        tile: Which rows of weights and tokens these are.
        row: First weight row of the warp.
        rows: Weight rows of an expert.
    """
    # Rows come in 32 and a warp has 16 of them: all of its lanes store, or none.
    if row >= rows:
        return
    var lane = UInt32(lane_id())
    var feature = row + lane // 4 * 2
    var bias0 = Float32(0)
    var bias1 = Float32(0)
    comptime if EPILOGUE != PLAIN:
        var at = Int(tile.expert) * Int(rows) + Int(feature)
        var pair = bias.unsafe_offset(at).unsafe_load[width=2, alignment=4]()
        bias0 = pair[0].cast[DType.float32]()
        bias1 = pair[1].cast[DType.float32]()
    comptime if EPILOGUE == SWIGLU:
        # Transposed, a lane holds two neighbouring outputs of token 8j + g.
        var target = y.unsafe_offset(
            (Int(tile.first) + Int(lane // 4)) * Int(rows // 2)
            + Int(row // 2 + lane % 4 * 2)
        )
        comptime for j in range(WIDTH // 8):
            var pair = transpose8(
                bitcast[DType.uint32, 1](
                    SIMD[DType.float32, 2](
                        swiglu(sums[4 * j] + bias0, sums[4 * j + 2] + bias1),
                        swiglu(
                            sums[4 * j + 1] + bias0, sums[4 * j + 3] + bias1
                        ),
                    ).cast[DType.bfloat16]()
                )
            )
            if UInt32(j * 8) + lane // 4 < tile.tokens:
                target.unsafe_store[alignment=4](
                    bitcast[DType.bfloat16, 2](pair)
                )
            target = target.unsafe_offset(8 * Int(rows // 2))
    else:
        var target = y.unsafe_offset(
            (Int(tile.first) + Int(lane % 4 * 2)) * Int(rows) + Int(feature)
        )
        comptime for j in range(WIDTH // 8):
            comptime for q in range(2):
                if UInt32(j * 8 + q) + lane % 4 * 2 < tile.tokens:
                    target.unsafe_offset(q * Int(rows)).unsafe_store[
                        alignment=4
                    ](
                        SIMD[DType.float32, 2](
                            sums[4 * j + q] + bias0,
                            sums[4 * j + 2 + q] + bias1,
                        ).cast[DType.bfloat16]()
                    )
            target = target.unsafe_offset(8 * Int(rows))


@__llvm_metadata(
    MAX_THREADS_PER_BLOCK_METADATA=StaticTuple[Int32, 1](
        Int32(threads[TOKENS, PARTS]())
    )
)
def grouped_matmul_kernel[
    TOKENS: Int,
    PARTS: Int,
    EPILOGUE: Int,
    GATHER: Bool,
    AFTER_PRODUCT: Bool = False,
](
    y: Half,
    x: Half,
    sources: RowIndices,
    weights: Bytes,
    bias: Half,
    starts: GroupStarts,
    ids: ExpertIds,
    turns: UInt64,
    n: UInt32,
    k: UInt32,
    groups: UInt32,
):
    """The kernel; see `grouped_matmul` for the arguments. Launch with `threads` threads and `shared_bytes` bytes.

    Parameters:
        TOKENS: Most tokens in a tile.
        PARTS: Tiles of 64 weight rows in a unit of work, each with warpgroups of its own.
        EPILOGUE: `PLAIN`, `BIAS` or `SWIGLU`.
        GATHER: Whether row i of the tokens is row `sources[i]` of `x`, not row i.
        AFTER_PRODUCT: Whether the kernel before is this one too, with the same groups.
    """
    comptime assert _is_sm_9x(), "mxfp4 grouped matmul needs Hopper (sm_90)"
    comptime SPLIT = split[TOKENS, PARTS]()
    comptime DEPTH = depth[TOKENS]()
    comptime STEPS = slot_steps[TOKENS, PARTS]()
    comptime STAGES = stages[TOKENS, PARTS]()
    comptime LOADERS = loaders[TOKENS]()
    comptime TOKEN_BYTES = TOKENS * TILE * 2
    comptime WEIGHT_BYTES = PARTS * STEPS * TILE_BYTES
    comptime assert TOKENS % 8 == 0 and TOKENS <= 256

    # Shared memory: token slots (1024-byte aligned, as the swizzle wants), weight slots, exchange, a tile for each slot,
    # barriers, counts.
    var memory = external_memory[
        UInt8, address_space=AddressSpace.SHARED, alignment=1024
    ]()
    comptime AFTER_TOKENS = STAGES * STEPS * TOKEN_BYTES
    comptime AFTER_WEIGHTS = AFTER_TOKENS + STAGES * WEIGHT_BYTES
    comptime AFTER_EXCHANGE = AFTER_WEIGHTS + exchange_bytes[TOKENS, PARTS]()
    var token_slots = UInt32(Int(memory))
    var weight_slots = token_slots + UInt32(AFTER_TOKENS)
    comptime AFTER_UNITS = AFTER_EXCHANGE + STAGES * 16
    var units = memory.unsafe_offset(AFTER_EXCHANGE).unsafe_bitcast[UInt32]()
    var full = token_slots + UInt32(AFTER_UNITS)
    var empty = full + UInt32(STAGES * 8)
    var told = empty + UInt32(STAGES * 8)
    comptime AFTER_BARRIERS = AFTER_UNITS + (STAGES * 2 + TURNS) * 8
    var entries = memory.unsafe_offset(AFTER_BARRIERS).unsafe_bitcast[UInt32]()
    var ends = memory.unsafe_offset(AFTER_BARRIERS + TURNS * 4).unsafe_bitcast[
        UInt32
    ]()

    var thread = Int(thread_idx.x)
    var warp_index = thread // 32
    var steps = ceildiv(k, UInt32(TILE))
    var slots = ceildiv(steps, UInt32(STEPS))
    var row_tiles = ceildiv(n, UInt32(TILE))

    # A product lets the kernel after it begin when it has itself waited for whoever made the groups. So they are complete here
    # if this one comes after a product of the same groups, and only its result has to be waited for.
    if warp_index == 0:
        comptime if not AFTER_PRODUCT:
            grid_wait()
        count_tiles[TOKENS](
            ends,
            starts,
            ids,
            Int(groups),
            Int(ceildiv(row_tiles, UInt32(PARTS))),
        )
    elif thread == 32:
        comptime for slot in range(STAGES):
            barrier_init(full + UInt32(slot * 8), UInt32(PARTS + LOADERS))
            barrier_init(empty + UInt32(slot * 8), UInt32(PARTS * SPLIT * 4))
        comptime for entry in range(TURNS):
            barrier_init(told + UInt32(entry * 8), 1)
        barrier_init_fence()
    barrier()
    comptime if not AFTER_PRODUCT:
        grid_wait()
    grid_release()
    var tiles = ends[unsafe_offset=Int(groups) - 1]

    var ring = Ring[STAGES]()
    if warp_index < 4:
        comptime if TOKENS > 128:
            warpgroup_reg_dealloc[88]()
        var weights_of = WeightLoader[TOKENS, PARTS](
            weight_slots, full, units, thread // 32
        )
        var tokens_of = TokenLoader[TOKENS, PARTS, GATHER](
            token_slots, full, thread - (128 - LOADERS)
        )
        # One thread for each tile of rows streams its weights.
        var has_weights = thread % 32 == 0 and thread // 32 < PARTS
        comptime if LOADERS == 128:
            # ---- All four warps copy tokens; some of their threads stream weights beside it.
            comptime if AFTER_PRODUCT:
                grid_wait()
            for index in range(UInt32(block_idx.x), tiles, UInt32(grid_dim.x)):
                var tile = tile_at[TOKENS](index, ends, starts, ids, groups)
                tokens_of.begin(tile, sources)
                if has_weights:
                    weights_of.begin[EPILOGUE](tile, weights, bias, n, steps)
                for slot in range(slots):
                    barrier_wait(empty + ring.slot * 8, ring.phase ^ 1)
                    if has_weights:
                        weights_of.fill(ring.slot)
                    tokens_of.fill(ring.slot, slot, x, k)
                    ring.advance()
            tokens_of.finish()
        else:
            comptime if in_turn[TOKENS]():
                var units_of = Units[TOKENS, PARTS](
                    tiles, min(tiles, UInt32(grid_dim.x)) if turns != 0 else 0
                )
                var turn = Turns(UInt32(block_idx.x), entries, told)
                if has_weights:
                    # ---- Producers of weights.
                    while turn.index < units_of.count:
                        var tile = units_of.at(
                            turn.index, ends, starts, ids, groups
                        )
                        var next = UInt32(0)
                        if thread == 0:
                            next = turn.next(turns, units_of.count)
                        weights_of.begin[EPILOGUE](
                            tile, weights, bias, n, steps
                        )
                        for slot in range(slots):
                            barrier_wait(empty + ring.slot * 8, ring.phase ^ 1)
                            weights_of.fill(ring.slot)
                            ring.advance()
                            if thread == 0 and slot == min(
                                UInt32(1), slots - 1
                            ):
                                turn.tell(next)
                        turn.advance()
                    barrier_wait(empty + ring.slot * 8, ring.phase ^ 1)
                    weights_of.finish(ring.slot)
                elif thread >= 128 - LOADERS:
                    # ---- Producers of tokens.
                    comptime if AFTER_PRODUCT:
                        grid_wait()
                    while turn.index < units_of.count:
                        var tile = units_of.at(
                            turn.index, ends, starts, ids, groups
                        )
                        tokens_of.begin(tile, sources)
                        for slot in range(slots):
                            barrier_wait(empty + ring.slot * 8, ring.phase ^ 1)
                            tokens_of.fill(ring.slot, slot, x, k)
                            ring.advance()
                        turn.advance()
                    tokens_of.finish()
                    barrier_wait(empty + ring.slot * 8, ring.phase ^ 1)
                    barrier_arrive(full + ring.slot * 8)
            else:
                if has_weights:
                    # ---- Producers of weights.
                    for index in range(
                        UInt32(block_idx.x), tiles, UInt32(grid_dim.x)
                    ):
                        var tile = tile_at[TOKENS](
                            index, ends, starts, ids, groups
                        )
                        weights_of.begin[EPILOGUE](
                            tile, weights, bias, n, steps
                        )
                        for _ in range(slots):
                            barrier_wait(empty + ring.slot * 8, ring.phase ^ 1)
                            weights_of.fill(ring.slot)
                            ring.advance()
                elif thread >= 128 - LOADERS:
                    # ---- Producers of tokens.
                    comptime if AFTER_PRODUCT:
                        grid_wait()
                    for index in range(
                        UInt32(block_idx.x), tiles, UInt32(grid_dim.x)
                    ):
                        var tile = tile_at[TOKENS](
                            index, ends, starts, ids, groups
                        )
                        tokens_of.begin(tile, sources)
                        for slot in range(slots):
                            barrier_wait(empty + ring.slot * 8, ring.phase ^ 1)
                            tokens_of.fill(ring.slot, slot, x, k)
                            ring.advance()
                    tokens_of.finish()
    else:
        # ---- Consumers: each warpgroup one tile of rows, and all tokens of the tile.
        comptime if TOKENS > 128:
            warpgroup_reg_alloc[208]()
        var group_index = warp_index // 4 - 1
        var part = group_index // SPLIT
        # The first of those that share a K also writes the result, so it takes the steps at the end of a slot: where the
        # last slot is not full, it has the fewest.
        var turn = group_index % SPLIT
        var offset = (SPLIT - 1 - turn) * DEPTH
        var consumer = Consumer[TOKENS, PARTS](
            memory.unsafe_offset(AFTER_TOKENS),
            token_slots,
            full,
            empty,
            part,
            offset,
            thread % 128,
        )
        comptime if TOKENS == 256:
            # One part starts late, for good: while it multiplies alone, the other writes its results.
            if part == 1:
                sleep(1000)
        # This warpgroup's steps: in the last slot there may be fewer, or none.
        var rest = Int(steps % UInt32(STEPS)) - offset
        var mine = steps // UInt32(STEPS) * UInt32(DEPTH) + UInt32(
            max(0, min(rest, DEPTH))
        )
        var first_row = UInt32(part * TILE + thread % 128 // 32 * 16)
        var has_sums = False
        var index = UInt32(block_idx.x)
        while True:
            comptime if not in_turn[TOKENS]():
                if index >= tiles:
                    break
            barrier_wait(full + ring.slot * 8, ring.phase)
            var unit = units.unsafe_offset(Int(ring.slot) * 4).unsafe_load[
                width=4, alignment=16
            ]()
            comptime if in_turn[TOKENS]():
                if unit[0] == END:
                    break
            var tile = Tile(
                unit[0], unit[1] & 0x3FFF_FFFF, unit[2], unit[3], unit[1] >> 30
            )
            comptime if halved[TOKENS, PARTS]():
                if tile.only != 0 and tile.only != UInt32(1 + part):
                    for _ in range(slots):
                        barrier_wait(full + ring.slot * 8, ring.phase)
                        consumer.release(ring.slot)
                        ring.advance()
                    continue
            var row = tile.row_block * UInt32(PARTS * TILE) + first_row
            comptime if SPLIT == 1:
                # A tile of 130 tokens should not cost as much as one of 256.
                comptime NARROWEST = align_up(TOKENS * 3 // 8, 32)
                comptime for WIDTH in range(NARROWEST, TOKENS + 1, 32):
                    if tile.tokens <= UInt32(WIDTH) and (
                        WIDTH == NARROWEST or tile.tokens > UInt32(WIDTH - 32)
                    ):
                        var sums = consumer.run[WIDTH](ring, mine)
                        write[WIDTH, EPILOGUE](sums, y, bias, tile, row, n)
            else:
                comptime SUMS = 128 * (TOKENS // 2)
                var exchange = (
                    memory.unsafe_offset(AFTER_WEIGHTS)
                    .unsafe_bitcast[Float32]()
                    .unsafe_offset(part * (SPLIT - 1) * SUMS + thread % 128)
                )
                comptime TOGETHER = UInt32(128 * SPLIT)
                comptime if in_turn[TOKENS]():
                    # The sums of the unit before were read. Only now it is known that another one came.
                    if turn == 0 and has_sums:
                        group_barrier_arrive(UInt32(3 + part), TOGETHER)
                var sums = SIMD[DType.float32, room(TOKENS)](0)
                if mine > 0:
                    sums = consumer.run[TOKENS](ring, mine)
                if ceildiv(mine, UInt32(DEPTH)) < slots:
                    # Nothing in the last slot is for this one.
                    consumer.release(ring.slot)
                    ring.advance()
                if turn == 0:
                    group_barrier(UInt32(1 + part), TOGETHER)
                    comptime for other in range(SPLIT - 1):
                        comptime for i in range(TOKENS // 2):
                            sums[i] += exchange[
                                unsafe_offset=other * SUMS + i * 128
                            ]
                    comptime if not in_turn[TOKENS]():
                        # Nobody waits for this after the last tile.
                        if index + UInt32(grid_dim.x) < tiles:
                            group_barrier_arrive(UInt32(3 + part), TOGETHER)
                    write[TOKENS, EPILOGUE](sums, y, bias, tile, row, n)
                else:
                    if has_sums:
                        group_barrier(UInt32(3 + part), TOGETHER)
                    comptime for i in range(TOKENS // 2):
                        exchange[
                            unsafe_offset=(turn - 1) * SUMS + i * 128
                        ] = sums[i]
                    group_barrier_arrive(UInt32(1 + part), TOGETHER)
                has_sums = True
            index += UInt32(grid_dim.x)


def tile_tokens(m: Int, groups: Int) -> Int:
    """Most tokens in a tile, 8 to 256, for `m` rows in `groups` groups, of which only the average is known on the host.

    So wide that hardly any group needs a second tile, for which its weights would be decoded again: the average and 2.6
    standard deviations.
    """
    var average = Float32(m) / Float32(groups)
    var wanted = average + 2.6 * sqrt(average)
    var tokens = 8
    while Float32(tokens) < wanted and tokens < 256:
        tokens *= 2
    return tokens


def unit_parts(m: Int, n: Int, groups: Int, processors: Int) -> Int:
    """Tiles of 64 weight rows in a unit of work: two, or one where only few tokens come and units of two are few.

    A unit of one has as much to do at its end as one of two; but in the last round of units, most multiprocessors may have
    none. Which groups have rows is not known on the host: as many as if each row chose its group by chance.
    """
    if tile_tokens(m, groups) > 16:
        return 2
    var active = Float32(groups) * (1 - exp(-Float32(m) / Float32(groups)))
    var units = active * Float32(ceildiv(n, 2 * TILE))
    return 2 if units >= Float32(8 * processors) else 1


def _launch[
    TOKENS: Int, PARTS: Int, EPILOGUE: Int, GATHER: Bool, AFTER_PRODUCT: Bool
](
    y: Half,
    x: Half,
    sources: RowIndices,
    weights: Bytes,
    bias: Half,
    starts: GroupStarts,
    ids: ExpertIds,
    turns: UInt64,
    n: Int,
    k: Int,
    groups: Int,
    processors: Int,
    ctx: DeviceContext,
) raises:
    comptime kernel = grouped_matmul_kernel[
        TOKENS, PARTS, EPILOGUE, GATHER, AFTER_PRODUCT
    ]
    comptime shared = shared_bytes[TOKENS, PARTS]()
    ctx.enqueue_function[kernel](
        y,
        x,
        sources,
        weights,
        bias,
        starts,
        ids,
        turns,
        UInt32(n),
        UInt32(k),
        UInt32(groups),
        grid_dim=processors,
        block_dim=threads[TOKENS, PARTS](),
        attributes=pdl_launch_attributes(PDLLevel.ON),
        shared_mem_bytes=shared,
        func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
            UInt32(shared)
        ),
    )


def grouped_matmul[
    EPILOGUE: Int, GATHER: Bool = False, AFTER_PRODUCT: Bool = False
](
    y: Half,
    x: Half,
    sources: RowIndices,
    weights: Bytes,
    bias: Half,
    starts: GroupStarts,
    ids: ExpertIds,
    *,
    m: Int,
    n: Int,
    k: Int,
    groups: Int,
    ctx: DeviceContext,
    turns: UInt64 = 0,
) raises:
    """Enqueue the grouped matmul on `ctx`; nothing waits for the host.

    Parameters:
        EPILOGUE: `PLAIN`, `BIAS` or `SWIGLU`.
        GATHER: Whether row i of the grouped tokens is row `sources[i]` of `x`.
        AFTER_PRODUCT: Whether what was enqueued on `ctx` just before is a `grouped_matmul` with the same `starts` and `ids`, and
            made `x`: then weights come while that one ends. If it is another kernel, `starts` and `ids` are read too early.

    Args:
        y: Result, bf16 [m, n], or [m, n/2] for `SWIGLU`. Rows that belong to no group, or to a group with a negative
            expert id, are left as they are.
        x: Tokens grouped by expert, bf16 [m, k]; with `GATHER` in any order and number.
        sources: Rows of `x`, u32 [m]; not read without `GATHER`.
        weights: Packed weights of all experts (`layout.mojo`).
        bias: Added to the sums, bf16 [experts, n]; not read for `PLAIN`.
        starts: First row of each group and the end of the last, u32 [groups + 1], ascending, at most m.
        ids: Expert of each group, i32 [groups].
        m: Grouped rows.
        n: Output features, a multiple of 32.
        k: Input features, a multiple of 32.
        groups: Number of groups, at most 1024.
        ctx: The device, compute capability 9.0.
        turns: Address of a u32 on the device that is 0, and is again when the kernel has ended: multiprocessors then take
            the next work whenever they are free. No other kernel may use it meanwhile. Without, 0, each has its share of the
            work from the beginning.

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

    var processors = Int(
        ctx.get_attribute(DeviceAttribute.MULTIPROCESSOR_COUNT)
    )
    var wanted = tile_tokens(m, groups)
    var together = unit_parts(m, n, groups, processors)
    comptime for i in range(6):
        comptime tokens = 1 << (3 + i)
        comptime for parts in range(1 if tokens <= 16 else 2, 3):
            if wanted == tokens and together == parts:
                _launch[tokens, parts, EPILOGUE, GATHER, AFTER_PRODUCT](
                    y,
                    x,
                    sources,
                    weights,
                    bias,
                    starts,
                    ids,
                    turns,
                    n,
                    k,
                    groups,
                    processors,
                    ctx,
                )
