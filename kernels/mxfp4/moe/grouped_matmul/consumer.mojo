"""The warpgroups that multiply: they decode weights in registers, while the tensor cores work on the step before."""

from std.math import align_up, ceildiv
from std.memory import bitcast

from max.gpu import block_idx, grid_dim, lane_id, thread_idx
from max.gpu.compute.mma import (
    WGMMADescriptor,
    wgmma_async,
    wgmma_commit_group_sync,
    wgmma_fence_aligned,
    wgmma_wait_group_sync,
)
from max.gpu.primitives import warp

from ...layout import CODE_WORDS, TILE
from ...pointers import SharedBytes
from ...ptx import (
    barrier_arrive,
    barrier_wait,
    group_barrier,
    group_barrier_arrive,
    hold,
    pin,
    sleep,
)
from ..schedule import Unit
from .config import Config, TILE_BYTES, accumulators
from .decode import decode, has_large
from .epilogue import write
from .operands import Operands
from .shared_memory import END, Ring, SharedMemory


@fieldwise_init
struct Slot[steps: Int](TrivialRegisterPassable):
    """A full slot, as a warp that multiplies sees it."""

    var index: UInt32
    """Which slot of the ring."""
    var scales: SIMD[DType.uint32, Self.steps]
    """This lane's scales of each step."""
    var large: Bool
    """Whether some are above what the short decode takes."""


struct Consumer[TOKENS: Int, ROW_TILES: Int](TrivialRegisterPassable):
    """What a warp that multiplies keeps: where its part of a slot lies."""

    comptime Shape = Config[Self.TOKENS, Self.ROW_TILES]
    comptime DEPTH = Self.Shape.DEPTH
    comptime Ring = Ring[Self.Shape.STAGES]
    comptime TOKEN_BYTES = Self.Shape.TOKEN_BYTES
    comptime SLOT_STEPS = Self.Shape.STEPS
    comptime SLOT_WEIGHTS = Self.Shape.WEIGHT_BYTES

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
        memory: SharedMemory[Self.TOKENS, Self.ROW_TILES],
        row_tile: Int,
        step: Int,
        thread: Int,
    ):
        """Set up for a tile of rows; `step` is the first of its steps in a slot, `thread` counts in the warpgroup."""
        self.memory = memory.bytes.unsafe_offset(memory.WEIGHTS)
        var tile = (row_tile * Self.SLOT_STEPS + step) * TILE_BYTES
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
            ((memory.tokens() + UInt32(step * Self.TOKEN_BYTES)) & 0x3FFFF) >> 4
            | (1 << 16)
        )
        self.full = memory.full()
        self.empty = memory.empty()

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
    def open(self, at: Self.Ring) -> Slot[Self.DEPTH]:
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
        sums: SIMD[DType.float32, accumulators(WIDTH)],
        a: SIMD[DType.uint32, 16],
        tokens: UInt32,
    ) -> SIMD[DType.float32, accumulators(WIDTH)]:
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
    ](self, mut ring: Self.Ring, steps: UInt32) -> SIMD[
        DType.float32, accumulators(WIDTH)
    ]:
        """Multiply over `steps` steps, at least one.

        While the tensor cores work on one step, the next is decoded.
        """
        # NOTE: WGMMA reads its A registers while it runs, and ptxas does not keep them alive for it. Hence two sets of
        # registers, `hold` after the wait, and a loop whose back edge carries a decoded set but never one that the
        # tensor cores still read: a copy made there would leave the original unprotected.
        var sums = SIMD[DType.float32, accumulators(WIDTH)](0)
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


@always_inline
def consume[
    TOKENS: Int, ROW_TILES: Int, EPILOGUE: Int
](
    memory: SharedMemory[TOKENS, ROW_TILES],
    operands: Operands,
    warpgroup: Int,
    units: UInt32,
    steps: UInt32,
    slots: UInt32,
):
    """Multiply all units of this block that come through the ring: each warpgroup one tile of rows, and all tokens.

    Parameters:
        TOKENS: See `Config`.
        ROW_TILES: See `Config`.
        EPILOGUE: What becomes of the sums.

    Args:
        memory: The block's shared memory.
        operands: The operands.
        warpgroup: Which of those that multiply this is.
        units: Units of the launch, where they are not dynamic.
        steps: Steps of K.
        slots: Slots of the ring that a unit takes.
    """
    comptime Shape = Config[TOKENS, ROW_TILES]
    comptime K_SPLIT = Shape.K_SPLIT
    comptime DEPTH = Shape.DEPTH
    comptime STEPS = Shape.STEPS
    var n = operands.n
    var thread = Int(thread_idx.x)
    var row_tile = warpgroup // K_SPLIT
    # The first of those that share a K also writes the result, so it takes the steps at the end of a slot: where the
    # last slot is not full, it has the fewest.
    var sharer = warpgroup % K_SPLIT
    var offset = (K_SPLIT - 1 - sharer) * DEPTH
    var consumer = Consumer[TOKENS, ROW_TILES](
        memory, row_tile, offset, thread % 128
    )
    comptime if Shape.STAGGERED:
        # One of the two starts late, for good: while it multiplies alone, the other writes its results.
        if row_tile == 1:
            sleep(1000)
    # This warpgroup's steps: in the last slot there may be fewer, or none.
    var rest = Int(steps % UInt32(STEPS)) - offset
    var mine = steps // UInt32(STEPS) * UInt32(DEPTH) + UInt32(
        max(0, min(rest, DEPTH))
    )
    var first_row = UInt32(row_tile * TILE + thread % 128 // 32 * 16)
    var has_sums = False
    var index = UInt32(block_idx.x)
    var ring = memory.Ring()
    while True:
        comptime if not Shape.DYNAMIC:
            if index >= units:
                break
        memory.wait_full(ring)
        var words = (
            memory.words[memory.UNITS]()
            .unsafe_offset(Int(ring.slot) * 4)
            .unsafe_load[width=4, alignment=16]()
        )
        comptime if Shape.DYNAMIC:
            if words[0] == END:
                break
        var unit = Unit(words)
        comptime if Shape.HALVES:
            if not unit.has(row_tile):
                for _ in range(slots):
                    memory.wait_full(ring)
                    consumer.release(ring.slot)
                    ring.advance()
                continue
        var row = unit.row_block * UInt32(ROW_TILES * TILE) + first_row
        comptime if K_SPLIT == 1:
            # A tile of 130 tokens should not cost as much as one of 256.
            comptime NARROWEST = align_up(TOKENS * 3 // 8, 32)
            comptime for WIDTH in range(NARROWEST, TOKENS + 1, 32):
                if unit.tokens <= UInt32(WIDTH) and (
                    WIDTH == NARROWEST or unit.tokens > UInt32(WIDTH - 32)
                ):
                    var sums = consumer.run[WIDTH](ring, mine)
                    write[WIDTH, EPILOGUE](
                        sums, operands.y(), operands.bias(), unit, row, n
                    )
        else:
            var exchange = (
                memory.bytes.unsafe_offset(memory.EXCHANGE)
                .unsafe_bitcast[Float32]()
                .unsafe_offset(
                    row_tile * (K_SPLIT - 1) * Shape.EXCHANGED + thread % 128
                )
            )
            # Named barriers, one of each a tile of rows: sums are there, and they were read.
            comptime TOGETHER = UInt32(128 * K_SPLIT)
            var written = UInt32(1 + row_tile)
            var was_read = UInt32(3 + row_tile)
            comptime if Shape.DYNAMIC:
                # The sums of the unit before were read. Only now it is known that another one came.
                if sharer == 0 and has_sums:
                    group_barrier_arrive(was_read, TOGETHER)
            var sums = SIMD[DType.float32, accumulators(TOKENS)](0)
            if mine > 0:
                sums = consumer.run[TOKENS](ring, mine)
            if ceildiv(mine, UInt32(DEPTH)) < slots:
                # Nothing in the last slot is for this one.
                consumer.release(ring.slot)
                ring.advance()
            if sharer == 0:
                group_barrier(written, TOGETHER)
                comptime for other in range(K_SPLIT - 1):
                    comptime for i in range(TOKENS // 2):
                        sums[i] += exchange[
                            unsafe_offset=other * Shape.EXCHANGED + i * 128
                        ]
                comptime if not Shape.DYNAMIC:
                    # Nobody waits for this after the last unit.
                    if index + UInt32(grid_dim.x) < units:
                        group_barrier_arrive(was_read, TOGETHER)
                write[TOKENS, EPILOGUE](
                    sums, operands.y(), operands.bias(), unit, row, n
                )
            else:
                if has_sums:
                    group_barrier(was_read, TOGETHER)
                comptime for i in range(TOKENS // 2):
                    exchange[
                        unsafe_offset=(sharer - 1) * Shape.EXCHANGED + i * 128
                    ] = sums[i]
                group_barrier_arrive(written, TOGETHER)
            has_sums = True
        index += UInt32(grid_dim.x)
