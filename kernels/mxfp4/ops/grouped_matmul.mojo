"""The grouped matmul, as MAX graphs call it. Shapes and dtypes are documented here once; the Python side checks them earlier
and with the names of its tensors.

Throughout: E experts, G groups of rows (one a local expert, empty ones included), M routed rows, N output and K input
features in multiples of 32, `padded` rounds up to 64.
"""

from extensibility import InputTensor, OutputTensor, register
from max.gpu.host import DeviceContext

from ..layout import TILE, packed_words, padded
from ..moe.grouped_matmul.config import BIAS, PLAIN, SWIGLU
from ..moe.grouped_matmul.launch import grouped_matmul
from ..moe.schedule import COUNTERS
from ..pointers import BF16, RowIndices
from .target import check_target


def _check_weights(
    y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
    x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
    weights: InputTensor[dtype=DType.uint8, rank=3, ...],
    n: Int,
) raises:
    var k = x.dim_size(1)
    var rows = padded(n) // TILE
    if (
        weights.dim_size(1) != rows
        or weights.dim_size(2) * rows != packed_words(n, k) * 4
    ):
        raise Error(
            "mxfp4 grouped matmul: packed weights are [",
            weights.dim_size(0),
            ", ",
            weights.dim_size(1),
            ", ",
            weights.dim_size(2),
            "], but x [",
            x.dim_size(0),
            ", ",
            k,
            "] and y [",
            y.dim_size(0),
            ", ",
            y.dim_size(1),
            "] need [E, ",
            rows,
            ", ",
            packed_words(n, k) * 4 // rows,
            "]; were they packed by custom.moe.mx4.pack?",
        )


def check_alignment(x: Int, weights: Int) raises:
    """Refuse addresses that the kernel cannot copy 16 bytes at once from."""
    _check_address("x", x)
    _check_address("the packed weights", weights)


def _check_address(what: StaticString, address: Int) raises:
    if address % 16 != 0:
        raise Error(
            "mxfp4 grouped matmul: ",
            what,
            " must be aligned to 16 bytes, and the address is ",
            address % 16,
            " bytes beyond that; give the op a copy",
        )


def _check_rows(x: Int, y: Int) raises:
    if x != y:
        raise Error(
            "mxfp4 grouped matmul: ", x, " rows of x, but ", y, " rows of y"
        )


def _run[
    EPILOGUE: Int, GATHER: Bool = False, AFTER_PRODUCT: Bool = False
](
    y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
    x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
    sources: RowIndices,
    weights: InputTensor[dtype=DType.uint8, rank=3, ...],
    bias: BF16,
    starts: InputTensor[dtype=DType.uint32, rank=1, ...],
    ids: InputTensor[dtype=DType.int32, rank=1, ...],
    counter: UInt64,
    ctx: DeviceContext,
) raises:
    var n = y.dim_size(1) * (2 if EPILOGUE == SWIGLU else 1)
    _check_weights(y, x, weights, n)
    check_alignment(Int(x.unsafe_ptr()), Int(weights.unsafe_ptr()))
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
    grouped_matmul[EPILOGUE, GATHER, AFTER_PRODUCT](
        y.unsafe_ptr().as_unsafe_any_origin(),
        x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
        sources,
        weights.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
        bias,
        starts.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
        ids.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
        m=y.dim_size(0),
        n=n,
        k=x.dim_size(1),
        groups=groups,
        ctx=ctx,
        counter=counter,
    )


def _counter[
    AFTER_PRODUCT: Bool = False
](counters: InputTensor[dtype=DType.uint32, rank=1, ...]) raises -> UInt64:
    """Which of a layer's counters is this product's: the one before it may still be running."""
    if counters.dim_size(0) != COUNTERS:
        raise Error(
            "mxfp4 grouped matmul: ",
            COUNTERS,
            " counters are needed, got ",
            counters.dim_size(0),
            "; custom.moe.sort makes them",
        )
    comptime index = 1 if AFTER_PRODUCT else 0
    return UInt64(Int(counters.unsafe_ptr()) + index * 4)


def _check_bias(
    bias: InputTensor[dtype=DType.bfloat16, rank=2, ...],
    weights: InputTensor[dtype=DType.uint8, rank=3, ...],
    n: Int,
) raises:
    if bias.dim_size(0) != weights.dim_size(0) or bias.dim_size(1) != n:
        raise Error(
            "mxfp4 grouped matmul: bias is [",
            bias.dim_size(0),
            ", ",
            bias.dim_size(1),
            "], the weights need [",
            weights.dim_size(0),
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
        weights: InputTensor[dtype=DType.uint8, rank=3, ...],
        starts: InputTensor[dtype=DType.uint32, rank=1, ...],
        ids: InputTensor[dtype=DType.int32, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`. Packed weights u8 [E, padded N / 64, padded K / 64 * 2176], starts [G + 1], ids [G]. Units are
        static.
        """
        check_target[target]()
        # The plain epilogue reads no bias, and nothing is gathered: any address will do.
        _check_rows(x.dim_size(0), y.dim_size(0))
        _run[PLAIN](
            y,
            x,
            starts.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            weights,
            y.unsafe_ptr().as_unsafe_any_origin(),
            starts,
            ids,
            0,
            ctx,
        )


@register("custom.moe.mx4.matmul_bias")
struct MatmulBias:
    """Compute y [M, N] = x [M, K] times the weights of each row's expert, plus bias [E, N]."""

    @staticmethod
    def execute[
        after_product: Bool, target: StaticString
    ](
        y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        weights: InputTensor[dtype=DType.uint8, rank=3, ...],
        starts: InputTensor[dtype=DType.uint32, rank=1, ...],
        ids: InputTensor[dtype=DType.int32, rank=1, ...],
        bias: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        counters: InputTensor[dtype=DType.uint32, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `Matmul.execute`, and `grouped_matmul` for `after_product`. Counters [COUNTERS] are 0, and are
        again afterwards; the product that comes after another counts with the second.
        """
        check_target[target]()
        _check_bias(bias, weights, y.dim_size(1))
        _check_rows(x.dim_size(0), y.dim_size(0))
        _run[BIAS, AFTER_PRODUCT=after_product](
            y,
            x,
            starts.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            weights,
            bias.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            starts,
            ids,
            _counter[after_product](counters),
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
        weights: InputTensor[dtype=DType.uint8, rank=3, ...],
        starts: InputTensor[dtype=DType.uint32, rank=1, ...],
        ids: InputTensor[dtype=DType.int32, rank=1, ...],
        bias: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        counters: InputTensor[dtype=DType.uint32, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `MatmulBias.execute`. Even weight rows are gate, odd ones up."""
        check_target[target]()
        _check_bias(bias, weights, y.dim_size(1) * 2)
        _check_rows(x.dim_size(0), y.dim_size(0))
        _run[SWIGLU](
            y,
            x,
            starts.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            weights,
            bias.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            starts,
            ids,
            _counter(counters),
            ctx,
        )


@register("custom.moe.mx4.matmul_swiglu_gather")
struct MatmulSwiGLUGather:
    """Compute what `custom.moe.mx4.matmul_swiglu` does with rows x[sources], which are never written to memory."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        sources: InputTensor[dtype=DType.uint32, rank=1, ...],
        weights: InputTensor[dtype=DType.uint8, rank=3, ...],
        starts: InputTensor[dtype=DType.uint32, rank=1, ...],
        ids: InputTensor[dtype=DType.int32, rank=1, ...],
        bias: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        counters: InputTensor[dtype=DType.uint32, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `MatmulSwiGLU.execute`. Sources [M] are rows of x [T, K]."""
        check_target[target]()
        _check_bias(bias, weights, y.dim_size(1) * 2)
        _check_rows(sources.dim_size(0), y.dim_size(0))
        _run[SWIGLU, True](
            y,
            x,
            sources.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            weights,
            bias.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            starts,
            ids,
            _counter(counters),
            ctx,
        )
