"""The operations that MAX graphs call. Shapes and dtypes are documented here once; the Python side checks them earlier
and with the names of its tensors.

Throughout: E experts, G groups of rows (one a local expert, empty ones included), M routed rows, N output and K input
features in multiples of 32, `padded` rounds up to 64.
"""


from extensibility import InputTensor, OutputTensor, register
from max.gpu import global_idx
from max.gpu.host import DeviceContext

from .grouped_matmul import BIAS, Half, PLAIN, SWIGLU, grouped_matmul
from .layout import Bytes, TILE, Words, pack, pack_word, packed_words, padded
from .routing import combine, route, sort_rows
from .scheduler import COUNTERS
from .scheduler import ExpertIds, GroupStarts, RowIndices


def _check_target[target: StaticString]():
    comptime assert (
        target == "gpu"
    ), "mxfp4 grouped matmul needs Hopper (sm_90): it has no CPU kernel and no scalar fallback"


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
    bias: Half,
    starts: InputTensor[dtype=DType.uint32, rank=1, ...],
    ids: InputTensor[dtype=DType.int32, rank=1, ...],
    ctx: DeviceContext,
) raises:
    var n = y.dim_size(1) * (2 if EPILOGUE == SWIGLU else 1)
    _check_weights(y, x, weights, n)
    var groups = ids.dim_size(0)
    var has_counters = starts.dim_size(0) == groups + 1 + COUNTERS
    if starts.dim_size(0) != groups + 1 and not has_counters:
        raise Error(
            "mxfp4 grouped matmul: ",
            groups,
            " expert ids need ",
            groups + 1,
            " start indices, or ",
            COUNTERS,
            " more with the counters, got ",
            starts.dim_size(0),
        )
    var turns = UInt64(0)
    if has_counters:
        comptime counter = 1 if AFTER_PRODUCT else 0
        turns = UInt64(Int(starts.unsafe_ptr()) + (groups + 1 + counter) * 4)
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
        turns=turns,
    )


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
        """Enqueue on `ctx`. Packed weights u8 [E, padded N / 64, padded K / 64 * 2176], starts [G + 1], ids [G]."""
        _check_target[target]()
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
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `Matmul.execute`, and `grouped_matmul` for `after_product`."""
        _check_target[target]()
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
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `Matmul.execute`. Even weight rows are gate, odd ones up."""
        _check_target[target]()
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
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `MatmulSwiGLU.execute`. Sources [M] are rows of x [T, K]."""
        _check_target[target]()
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
            ctx,
        )


@register("custom.moe.route")
struct Route:
    """Choose each token's experts; see `route`."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        chosen: OutputTensor[dtype=DType.int32, rank=2, ...],
        weights: OutputTensor[dtype=DType.float32, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        router: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        bias: InputTensor[dtype=DType.bfloat16, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`. Chosen and weights [T, top], x [T, H], router [E, H], bias [E]. Router and bias must be weights or
        inputs of the graph, not what a kernel of it makes: see `route`.
        """
        _check_target[target]()
        var tokens = x.dim_size(0)
        var top = chosen.dim_size(1)
        if (
            router.dim_size(1) != x.dim_size(1)
            or bias.dim_size(0) != router.dim_size(0)
            or chosen.shape() != weights.shape()
            or chosen.dim_size(0) != tokens
        ):
            raise Error(
                "mxfp4 routing: x is ",
                x.shape(),
                ", router ",
                router.shape(),
                ", bias ",
                bias.shape(),
                ", chosen ",
                chosen.shape(),
                ", weights ",
                weights.shape(),
                "; they must be [T, H], [E, H], [E], [T, top], [T, top]",
            )
        route(
            chosen.unsafe_ptr().as_unsafe_any_origin(),
            weights.unsafe_ptr().as_unsafe_any_origin(),
            x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            router.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            bias.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            tokens=tokens,
            features=x.dim_size(1),
            experts=router.dim_size(0),
            top=top,
            ctx=ctx,
        )


@register("custom.moe.sort")
struct Sort:
    """Order the rows of all tokens by their experts; see `sort_rows`."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        starts: OutputTensor[dtype=DType.uint32, rank=1, ...],
        sources: OutputTensor[dtype=DType.uint32, rank=1, ...],
        places: OutputTensor[dtype=DType.uint32, rank=2, ...],
        chosen: InputTensor[dtype=DType.int32, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`. Starts [E + 1 + COUNTERS], sources [T top], places and chosen [T, top]."""
        _check_target[target]()
        var tokens = chosen.dim_size(0)
        var top = chosen.dim_size(1)
        if (
            places.shape() != chosen.shape()
            or sources.dim_size(0) != tokens * top
        ):
            raise Error(
                "mxfp4 routing: chosen is ",
                chosen.shape(),
                ", places ",
                places.shape(),
                ", sources ",
                sources.shape(),
                "; they must be [T, top], [T, top], [T top]",
            )
        sort_rows(
            starts.unsafe_ptr().as_unsafe_any_origin(),
            sources.unsafe_ptr().as_unsafe_any_origin(),
            places.unsafe_ptr().as_unsafe_any_origin(),
            chosen.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            tokens=tokens,
            experts=starts.dim_size(0) - 1 - COUNTERS,
            top=top,
            ctx=ctx,
        )


@register("custom.moe.combine")
struct Combine:
    """Add up what each token's experts made; see `combine`."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
        rows: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        places: InputTensor[dtype=DType.uint32, rank=2, ...],
        weights: InputTensor[dtype=DType.float32, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`. Y [T, H], rows [T top, H], places and weights [T, top]."""
        _check_target[target]()
        var tokens = places.dim_size(0)
        var top = places.dim_size(1)
        if (
            places.shape() != weights.shape()
            or y.dim_size(0) != tokens
            or rows.dim_size(0) != tokens * top
            or rows.dim_size(1) != y.dim_size(1)
        ):
            raise Error(
                "mxfp4 routing: rows are ",
                rows.shape(),
                ", places ",
                places.shape(),
                ", weights ",
                weights.shape(),
                ", y ",
                y.shape(),
                "; they must be [T top, H], [T, top], [T, top], [T, H]",
            )
        combine(
            y.unsafe_ptr().as_unsafe_any_origin(),
            rows.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            places.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            weights.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            tokens=tokens,
            features=y.dim_size(1),
            top=top,
            ctx=ctx,
        )


def pack_kernel(
    target: Words,
    codes: Bytes,
    scales: Bytes,
    n: UInt32,
    k: UInt32,
    words: UInt64,
):
    """One thread a word: pack `words` words of experts that follow each other; see `pack` for the rest."""
    var index = Int(global_idx.x)
    if index < Int(words):
        var per_expert = packed_words(Int(n), Int(k))
        var expert = index // per_expert
        target[unsafe_offset=index] = pack_word(
            codes.unsafe_offset(expert * Int(n) * (Int(k) // 2)),
            scales.unsafe_offset(expert * Int(n) * (Int(k) // 32)),
            index % per_expert,
            Int(n),
            Int(k),
        )


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
            if words > 0:
                ctx.enqueue_function[pack_kernel](
                    to,
                    from_codes,
                    from_scales,
                    UInt32(n),
                    UInt32(k),
                    UInt64(words),
                    grid_dim=(words + 255) // 256,
                    block_dim=256,
                )
        else:
            pack(to, from_codes, from_scales, experts, n, k)
