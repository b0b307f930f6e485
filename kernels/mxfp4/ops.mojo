"""The operations that MAX graphs call. Shapes and dtypes are documented here once; the Python side checks them earlier
and with the names of its tensors.

Throughout: E experts, G groups of rows (one a local expert, empty ones included), M routed rows, N output and K input
features in multiples of 32, `padded` rounds up to 64.
"""


from extensibility import InputTensor, OutputTensor, register
from max.gpu import global_idx
from max.gpu.host import DeviceContext

from .grouped_matmul import BIAS, Half, PLAIN, SWIGLU, grouped_matmul
from .layout import (
    Bytes,
    Words,
    pack_codes,
    pack_scale,
    pack_scales,
    pack_word,
    padded,
)
from .scheduler import ExpertIds, GroupStarts


def _check_target[target: StaticString]():
    comptime assert (
        target == "gpu"
    ), "mxfp4 grouped matmul needs Hopper (sm_90): it has no CPU kernel and no scalar fallback"


def _check_weights(
    y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
    x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
    codes: InputTensor[dtype=DType.uint8, rank=3, ...],
    scales: InputTensor[dtype=DType.uint8, rank=3, ...],
    n: Int,
) raises:
    var k = x.dim_size(1)
    if codes.dim_size(1) != padded(n) or codes.dim_size(2) * 2 != padded(k):
        raise Error(
            "mxfp4 grouped matmul: packed codes are [",
            codes.dim_size(0),
            ", ",
            codes.dim_size(1),
            ", ",
            codes.dim_size(2),
            "], but x [",
            x.dim_size(0),
            ", ",
            k,
            "] and y [",
            y.dim_size(0),
            ", ",
            y.dim_size(1),
            "] need [E, ",
            padded(n),
            ", ",
            padded(k) // 2,
            "]; were they packed by custom.moe.mx4.pack_blocks?",
        )
    if (
        scales.dim_size(0) != codes.dim_size(0)
        or scales.dim_size(1) != padded(n)
        or scales.dim_size(2) * 32 != padded(k)
    ):
        raise Error(
            "mxfp4 grouped matmul: packed scales are [",
            scales.dim_size(0),
            ", ",
            scales.dim_size(1),
            ", ",
            scales.dim_size(2),
            "], but the codes need [",
            codes.dim_size(0),
            ", ",
            padded(n),
            ", ",
            padded(k) // 32,
            "]; were they packed by custom.moe.mx4.pack_scales?",
        )
    if y.dim_size(0) != x.dim_size(0):
        raise Error(
            "mxfp4 grouped matmul: x has ",
            x.dim_size(0),
            " rows, y has ",
            y.dim_size(0),
        )


def _run[
    EPILOGUE: Int
](
    y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
    x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
    codes: InputTensor[dtype=DType.uint8, rank=3, ...],
    scales: InputTensor[dtype=DType.uint8, rank=3, ...],
    bias: Half,
    starts: InputTensor[dtype=DType.uint32, rank=1, ...],
    ids: InputTensor[dtype=DType.int32, rank=1, ...],
    ctx: DeviceContext,
) raises:
    var n = y.dim_size(1) * (2 if EPILOGUE == SWIGLU else 1)
    _check_weights(y, x, codes, scales, n)
    var groups = ids.dim_size(0)
    if starts.dim_size(0) != groups + 1:
        raise Error(
            "mxfp4 grouped matmul: ",
            groups,
            " expert ids need ",
            groups + 1,
            " start indices, got ",
            starts.dim_size(0),
        )
    grouped_matmul[EPILOGUE](
        y.unsafe_ptr().as_unsafe_any_origin(),
        x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
        codes.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
        scales.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
        bias,
        starts.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
        ids.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
        m=x.dim_size(0),
        n=n,
        k=x.dim_size(1),
        groups=groups,
        ctx=ctx,
    )


def _check_bias(
    bias: InputTensor[dtype=DType.bfloat16, rank=2, ...],
    codes: InputTensor[dtype=DType.uint8, rank=3, ...],
    n: Int,
) raises:
    if bias.dim_size(0) != codes.dim_size(0) or bias.dim_size(1) != n:
        raise Error(
            "mxfp4 grouped matmul: bias is [",
            bias.dim_size(0),
            ", ",
            bias.dim_size(1),
            "], the weights need [",
            codes.dim_size(0),
            ", ",
            n,
            "]",
        )


@register("custom.moe.mx4.matmul")
struct Matmul:
    """Compute y [M, N] = x [M, K] times the weights of each row's expert."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        codes: InputTensor[dtype=DType.uint8, rank=3, ...],
        scales: InputTensor[dtype=DType.uint8, rank=3, ...],
        starts: InputTensor[dtype=DType.uint32, rank=1, ...],
        ids: InputTensor[dtype=DType.int32, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`. Packed codes u8 [E, padded N, padded K / 2], packed scales u8 [E, padded N, padded K / 32],
        starts [G + 1], ids [G].
        """
        _check_target[target]()
        # The plain epilogue reads no bias; any address will do.
        _run[PLAIN](
            y,
            x,
            codes,
            scales,
            y.unsafe_ptr().as_unsafe_any_origin(),
            starts,
            ids,
            ctx,
        )


@register("custom.moe.mx4.matmul_bias")
struct MatmulBias:
    """Compute y [M, N] = x [M, K] times the weights of each row's expert, plus bias [E, N]."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        codes: InputTensor[dtype=DType.uint8, rank=3, ...],
        scales: InputTensor[dtype=DType.uint8, rank=3, ...],
        starts: InputTensor[dtype=DType.uint32, rank=1, ...],
        ids: InputTensor[dtype=DType.int32, rank=1, ...],
        bias: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `Matmul.execute`."""
        _check_target[target]()
        _check_bias(bias, codes, y.dim_size(1))
        _run[BIAS](
            y,
            x,
            codes,
            scales,
            bias.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            starts,
            ids,
            ctx,
        )


@register("custom.moe.mx4.matmul_swiglu")
struct MatmulSwiGLU:
    """Compute y [M, N / 2] = GPT-OSS's gated activation of x [M, K] times the weights of each row's expert, plus bias [E, N]."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        codes: InputTensor[dtype=DType.uint8, rank=3, ...],
        scales: InputTensor[dtype=DType.uint8, rank=3, ...],
        starts: InputTensor[dtype=DType.uint32, rank=1, ...],
        ids: InputTensor[dtype=DType.int32, rank=1, ...],
        bias: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `Matmul.execute`. Even weight rows are gate, odd ones up."""
        _check_target[target]()
        _check_bias(bias, codes, y.dim_size(1) * 2)
        _run[SWIGLU](
            y,
            x,
            codes,
            scales,
            bias.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            starts,
            ids,
            ctx,
        )


def _pack_words_kernel(
    target: Words, source: Bytes, n: UInt32, k: UInt32, words: UInt64
):
    var index = Int(global_idx.x)
    if index < Int(words):
        var per_expert = padded(Int(n)) * padded(Int(k)) // 8
        var expert = index // per_expert
        target[unsafe_offset=index] = pack_word(
            source.unsafe_offset(expert * Int(n) * (Int(k) // 2)),
            index % per_expert,
            Int(n),
            Int(k),
        )


def _pack_scales_kernel(
    target: Bytes, source: Bytes, n: UInt32, k: UInt32, bytes: UInt64
):
    var index = Int(global_idx.x)
    if index < Int(bytes):
        var per_expert = padded(Int(n)) * padded(Int(k)) // 32
        var expert = index // per_expert
        target[unsafe_offset=index] = pack_scale(
            source.unsafe_offset(expert * Int(n) * (Int(k) // 32)),
            index % per_expert,
            Int(n),
            Int(k),
        )


def _check_packing(
    y: OutputTensor[dtype=DType.uint8, rank=3, ...],
    x: InputTensor[dtype=DType.uint8, rank=3, ...],
    values_per_byte: Int,
) raises:
    var n = x.dim_size(1)
    var k = x.dim_size(2) * values_per_byte
    if n % 32 != 0 or k % 32 != 0:
        raise Error(
            "mxfp4 packing: N and K must be multiples of 32, got N = ",
            n,
            ", K = ",
            k,
        )
    if (
        y.dim_size(0) != x.dim_size(0)
        or y.dim_size(1) != padded(n)
        or y.dim_size(2) * values_per_byte != padded(k)
    ):
        raise Error(
            "mxfp4 packing: [",
            x.dim_size(0),
            ", ",
            n,
            ", ",
            x.dim_size(2),
            "] packs into [",
            x.dim_size(0),
            ", ",
            padded(n),
            ", ",
            padded(k) // values_per_byte,
            "], not [",
            y.dim_size(0),
            ", ",
            y.dim_size(1),
            ", ",
            y.dim_size(2),
            "]",
        )


@register("custom.moe.mx4.pack_blocks")
struct PackBlocks:
    """Codes u8 [E, N, K / 2] in checkpoint order to packed codes u8 [E, padded N, padded K / 2]."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.uint8, rank=3, ...],
        x: InputTensor[dtype=DType.uint8, rank=3, ...],
        ctx: DeviceContext,
    ) raises:
        """Pack on the device of the tensors, CPU or GPU."""
        _check_packing(y, x, 2)
        var n = x.dim_size(1)
        var k = x.dim_size(2) * 2
        var words = x.dim_size(0) * padded(n) * padded(k) // 8
        var to = y.unsafe_ptr().unsafe_bitcast[UInt32]().as_unsafe_any_origin()
        var source = (
            x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
        )
        comptime if target == "gpu":
            if words > 0:
                ctx.enqueue_function[_pack_words_kernel](
                    to,
                    source,
                    UInt32(n),
                    UInt32(k),
                    UInt64(words),
                    grid_dim=(words + 255) // 256,
                    block_dim=256,
                )
        else:
            pack_codes(to, source, x.dim_size(0), n, k)


@register("custom.moe.mx4.pack_scales")
struct PackScales:
    """Scales u8 [E, N, K / 32] in checkpoint order to packed scales u8 [E, padded N, padded K / 32]."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.uint8, rank=3, ...],
        x: InputTensor[dtype=DType.uint8, rank=3, ...],
        ctx: DeviceContext,
    ) raises:
        """Pack on the device of the tensors, CPU or GPU."""
        _check_packing(y, x, 32)
        var n = x.dim_size(1)
        var k = x.dim_size(2) * 32
        var bytes = x.dim_size(0) * padded(n) * padded(k) // 32
        var to = y.unsafe_ptr().as_unsafe_any_origin()
        var source = (
            x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin()
        )
        comptime if target == "gpu":
            if bytes > 0:
                ctx.enqueue_function[_pack_scales_kernel](
                    to,
                    source,
                    UInt32(n),
                    UInt32(k),
                    UInt64(bytes),
                    grid_dim=(bytes + 255) // 256,
                    block_dim=256,
                )
        else:
            pack_scales(to, source, x.dim_size(0), n, k)
