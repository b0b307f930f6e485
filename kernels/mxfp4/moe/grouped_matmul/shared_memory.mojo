"""Where everything stands in a block's shared memory: planned here, once, and looked up by all roles."""

from max.gpu.memory import fence_async_view_proxy, fence_mbarrier_init

from ...pointers import SharedBytes, SharedWords
from ...ptx import barrier_init, barrier_wait
from ..schedule import MAX_GROUPS, UNITS_AHEAD
from .config import BLOCK_BYTES, Config

comptime END = UInt32.MAX
"""Stands in place of an expert where no more units come."""


struct Ring[STAGES: Int](TrivialRegisterPassable):
    """A position in the ring; every role keeps its own and they all walk the same sequence of units and steps."""

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
        if self.slot == UInt32(Self.STAGES):
            self.slot = 0
            self.phase ^= 1


struct SharedMemory[TOKENS: Int, ROW_TILES: Int](TrivialRegisterPassable):
    """The plan of a block's dynamic shared memory, and the block's own."""

    comptime Shape = Config[Self.TOKENS, Self.ROW_TILES]
    comptime STAGES = Self.Shape.STAGES
    comptime Ring = Ring[Self.STAGES]

    comptime WEIGHTS = Self.STAGES * Self.Shape.STEPS * Self.Shape.TOKEN_BYTES
    """Slots of weights, behind those of tokens, which stand first."""
    comptime EXCHANGE = Self.WEIGHTS + Self.STAGES * Self.Shape.WEIGHT_BYTES
    """Sums that warpgroups leave for the one that writes the result."""
    comptime UNITS = Self.EXCHANGE + Self.Shape.EXCHANGE_BYTES
    """What the consumers work on, 16 bytes beside each slot."""
    comptime FULL = Self.UNITS + Self.STAGES * 16
    """The barriers that say that a slot is full."""
    comptime EMPTY = Self.FULL + Self.STAGES * 8
    """The barriers that say that a slot is empty."""
    comptime ANNOUNCED = Self.EMPTY + Self.STAGES * 8
    """The barriers that say that an entry of `NEXT` is written."""
    comptime NEXT = Self.ANNOUNCED + UNITS_AHEAD * 8
    """Dynamic units of this block, for all of its producers."""
    comptime ENDS = Self.NEXT + UNITS_AHEAD * 4
    """How many units there are up to each group."""
    comptime BYTES = Self.ENDS + MAX_GROUPS * 4
    """All of it."""

    var bytes: SharedBytes
    """Where it begins."""

    @always_inline
    def __init__(out self, bytes: SharedBytes):
        self.bytes = bytes

    @staticmethod
    def check():
        """What must hold, when this is compiled."""
        comptime assert (
            Self.BYTES <= BLOCK_BYTES
        ), "the grouped matmul's shared memory exceeds a block's 227 KiB"
        comptime assert Self.WEIGHTS % 1024 == 0
        comptime assert Self.EXCHANGE % 16 == 0 and Self.UNITS % 16 == 0
        comptime assert Self.FULL % 8 == 0 and Self.ANNOUNCED % 8 == 0

    @always_inline
    def tokens(self) -> UInt32:
        """Address of the first slot's tokens."""
        return UInt32(Int(self.bytes))

    @always_inline
    def weights(self) -> UInt32:
        """Address of the first slot's weights."""
        return self.tokens() + UInt32(Self.WEIGHTS)

    @always_inline
    def full(self) -> UInt32:
        """Address of the first slot's full barrier."""
        return self.tokens() + UInt32(Self.FULL)

    @always_inline
    def empty(self) -> UInt32:
        """Address of the first slot's empty barrier."""
        return self.full() + UInt32(Self.STAGES * 8)

    @always_inline
    def announced(self) -> UInt32:
        """Address of the barrier of the first entry of `NEXT`."""
        return self.empty() + UInt32(Self.STAGES * 8)

    @always_inline
    def words[AT: Int](self) -> SharedWords:
        """The words at this place of the plan."""
        return self.bytes.unsafe_offset(AT).unsafe_bitcast[UInt32]()

    @always_inline
    def init_barriers(self):
        """Set up all barriers; one thread does."""
        comptime for slot in range(Self.STAGES):
            # Each tile of rows has a thread that says that its weights are on their way.
            barrier_init(
                self.full() + UInt32(slot * 8),
                UInt32(Self.ROW_TILES + Self.Shape.TOKEN_THREADS),
            )
            # A warp that multiplies says so once.
            barrier_init(
                self.empty() + UInt32(slot * 8),
                UInt32(Self.Shape.CONSUMERS * 4),
            )
        comptime for entry in range(UNITS_AHEAD):
            barrier_init(self.announced() + UInt32(entry * 8), 1)
        fence_mbarrier_init()
        fence_async_view_proxy()

    @always_inline
    def wait_full(self, at: Self.Ring):
        """Wait until a slot is full."""
        barrier_wait(self.full() + at.slot * 8, at.phase)

    @always_inline
    def wait_empty(self, at: Self.Ring):
        """Wait until a slot is empty."""
        barrier_wait(self.empty() + at.slot * 8, at.phase ^ 1)
