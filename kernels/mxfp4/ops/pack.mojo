"""Packing, as MAX graphs call it: E experts, N output and K input features in multiples of 32."""

from extensibility import InputTensor, OutputTensor, register
from max.gpu.host import DeviceContext

from ..layout import TILE, packed_words, padded
from ..pack import pack, pack_on_gpu


@register("custom.moe.mx4.pack")
struct Pack:
    """Blocks u8 [E, N, K / 2] and scales u8 [E, N, K / 32] in checkpoint order to packed weights
    u8 [E, padded N / 64, padded K / 64 * 2176].
    """

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.uint8, rank=3, ...],
        codes: InputTensor[dtype=DType.uint8, rank=3, ...],
        scales: InputTensor[dtype=DType.uint8, rank=3, ...],
        ctx: DeviceContext,
    ) raises:
        """Pack on the device of the tensors, CPU or GPU."""
        var experts = codes.dim_size(0)
        var n = codes.dim_size(1)
        var k = codes.dim_size(2) * 2
        if n % 32 != 0 or k % 32 != 0:
            raise Error(
                "mxfp4 packing: N and K must be multiples of 32, got N = ",
                n,
                ", K = ",
                k,
            )
        if (
            scales.dim_size(0) != experts
            or scales.dim_size(1) != n
            or scales.dim_size(2) * 32 != k
        ):
            raise Error(
                "mxfp4 packing: blocks [",
                experts,
                ", ",
                n,
                ", ",
                k // 2,
                "] need scales [",
                experts,
                ", ",
                n,
                ", ",
                k // 32,
                "], got [",
                scales.dim_size(0),
                ", ",
                scales.dim_size(1),
                ", ",
                scales.dim_size(2),
                "]",
            )
        var words = experts * packed_words(n, k)
        var rows = padded(n) // TILE
        if (
            y.dim_size(0) != experts
            or y.dim_size(1) != rows
            or experts * rows * y.dim_size(2) != words * 4
        ):
            raise Error(
                "mxfp4 packing: blocks [",
                experts,
                ", ",
                n,
                ", ",
                k // 2,
                "] pack into [",
                experts,
                ", ",
                rows,
                ", ",
                packed_words(n, k) * 4 // max(rows, 1),
                "], not [",
                y.dim_size(0),
                ", ",
                y.dim_size(1),
                ", ",
                y.dim_size(2),
                "]",
            )
        var to = y.unsafe_ptr().unsafe_bitcast[UInt32]().as_unsafe_any_origin()
        var from_codes = (
            codes.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
        )
        var from_scales = (
            scales.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
        )
        comptime if target == "gpu":
            pack_on_gpu(to, from_codes, from_scales, experts, n, k, ctx)
        else:
            pack(to, from_codes, from_scales, experts, n, k)
