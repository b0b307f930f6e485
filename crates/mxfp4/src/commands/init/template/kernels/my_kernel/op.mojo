"""The operation that MAX graphs call."""

from extensibility import InputTensor, OutputTensor, foreach, register
from layout import Coord
from max.gpu.host import DeviceContext

from .arithmetic import twice


@register("custom.my_kernel")
struct Twice:
    """Compute y = 2 x, element by element."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor,
        x: InputTensor[dtype=y.dtype, rank=y.rank, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`."""

        @always_inline
        def element[width: Int](index: Coord) {var x} -> SIMD[y.dtype, width]:
            return twice(x.load[width](index))

        foreach[target=target](element, y, ctx)
