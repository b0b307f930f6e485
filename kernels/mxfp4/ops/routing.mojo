"""What stands around the two projections of a mixture-of-experts layer, as MAX graphs call it: T tokens of H features, E
experts, of which each token takes `top`.
"""

from extensibility import InputTensor, OutputTensor, register
from max.gpu.host import DeviceContext

from ..moe.combine import combine
from ..moe.router import route
from ..moe.schedule import COUNTERS
from ..moe.sort import sort_rows
from .target import check_target


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
        check_target[target]()
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
        counters: OutputTensor[dtype=DType.uint32, rank=1, ...],
        sources: OutputTensor[dtype=DType.uint32, rank=1, ...],
        places: OutputTensor[dtype=DType.uint32, rank=2, ...],
        chosen: InputTensor[dtype=DType.int32, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`. Starts [E + 1], counters [COUNTERS], sources [T top], places and chosen [T, top]."""
        check_target[target]()
        var tokens = chosen.dim_size(0)
        var top = chosen.dim_size(1)
        if (
            places.shape() != chosen.shape()
            or sources.dim_size(0) != tokens * top
            or counters.dim_size(0) != COUNTERS
        ):
            raise Error(
                "mxfp4 routing: chosen is ",
                chosen.shape(),
                ", places ",
                places.shape(),
                ", sources ",
                sources.shape(),
                ", counters ",
                counters.shape(),
                "; they must be [T, top], [T, top], [T top], [",
                COUNTERS,
                "]",
            )
        sort_rows(
            starts.unsafe_ptr().as_unsafe_any_origin(),
            counters.unsafe_ptr().as_unsafe_any_origin(),
            sources.unsafe_ptr().as_unsafe_any_origin(),
            places.unsafe_ptr().as_unsafe_any_origin(),
            chosen.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            tokens=tokens,
            experts=starts.dim_size(0) - 1,
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
        check_target[target]()
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
