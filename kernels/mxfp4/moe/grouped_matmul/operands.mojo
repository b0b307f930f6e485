"""What one launch of the grouped matmul works on."""

from std.memory import Pointer

from ...pointers import BF16, Bytes, RowIndices


struct Operands(TrivialRegisterPassable):
    """The matrices of a launch, which outlive it; `grouped_matmul` says what they are."""

    var _y: Pointer[BFloat16, MutUntrackedOrigin]
    var _x: Pointer[BFloat16, MutUntrackedOrigin]
    var _sources: Pointer[UInt32, MutUntrackedOrigin]
    var _weights: Pointer[UInt8, MutUntrackedOrigin]
    var _bias: Pointer[BFloat16, MutUntrackedOrigin]
    var n: UInt32
    """Weight rows of an expert."""
    var k: UInt32
    """Columns of a weight row, and of a token."""

    @always_inline
    def __init__(
        out self,
        y: BF16,
        x: BF16,
        sources: RowIndices,
        weights: Bytes,
        bias: BF16,
        n: UInt32,
        k: UInt32,
    ):
        self._y = y.unsafe_origin_cast[MutUntrackedOrigin]()
        self._x = x.unsafe_origin_cast[MutUntrackedOrigin]()
        self._sources = sources.unsafe_origin_cast[MutUntrackedOrigin]()
        self._weights = weights.unsafe_origin_cast[MutUntrackedOrigin]()
        self._bias = bias.unsafe_origin_cast[MutUntrackedOrigin]()
        self.n = n
        self.k = k

    @always_inline
    def y(self) -> BF16:
        """Result."""
        return self._y.as_unsafe_any_origin()

    @always_inline
    def x(self) -> BF16:
        """Tokens."""
        return self._x.as_unsafe_any_origin()

    @always_inline
    def sources(self) -> RowIndices:
        """Which token each grouped row is."""
        return self._sources.as_unsafe_any_origin()

    @always_inline
    def weights(self) -> Bytes:
        """Packed weights of all experts."""
        return self._weights.as_unsafe_any_origin()

    @always_inline
    def bias(self) -> BF16:
        """Bias of all experts."""
        return self._bias.as_unsafe_any_origin()
