"""A dense matmul that stays within its output: for few tokens `dense_few.mojo`, for more MAX's own, with the results stored
here; and to float32 `dense_head.mojo`.

Left to store them itself, the sm_90 matmul of MAX 26.7 writes whole tiles of 64 rows, also where the output ends before:
with 6 tokens, 58 rows of whatever stands behind it in memory. A bias that MAX's compiler fuses to it changes nothing.
In GPT-OSS that was the residual stream. Given an epilogue that stores, it hands over each value within bounds.

That epilogue does not compile where the result stays in float32, so logits are `dense_head.mojo`'s for any number of tokens.
Float32 they must be: between 4 and 8 those of bf16 are 2^-5 apart, and what a client reads as log-probabilities would be that
coarse, however exact the layers before were.
"""

from std.memory import Pointer
from std.utils import IndexList

from extensibility import InputTensor, OutputTensor, register
from layout import Coord, Idx, TileTensor, row_major
from linalg.matmul import matmul
from max.gpu.host import DeviceContext
from max.gpu.memory import AddressSpace

from .dense_few import FEW_TOKENS, dense_few, few_takes
from .dense_head import dense_head

comptime Half = Pointer[BFloat16, MutAnyOrigin]


def dense_matmul(
    y: TileTensor[
        mut=True, DType.bfloat16, address_space=AddressSpace.GENERIC, ...
    ],
    x: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    w: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    bias: Half,
    ctx: DeviceContext,
) raises:
    """Enqueue y [M, N] = x [M, K] times w [N, K] transposed, plus bias [N]; products are accumulated in float32.

    N and K must be known when this is compiled, or MAX takes another, slower way where there are more than `FEW_TOKENS`.
    """
    var result = y.ptr.as_unsafe_any_origin()
    var tokens = Int(x.dim[0]())
    var features = Int(x.dim[1]())
    var rows = Int(y.dim[1]())
    var x_values = x.ptr.unsafe_mut_cast[True]().as_unsafe_any_origin()
    var w_values = w.ptr.unsafe_mut_cast[True]().as_unsafe_any_origin()
    if tokens <= FEW_TOKENS and few_takes(
        result,
        x_values,
        w_values,
        bias,
        tokens=tokens,
        rows=rows,
        features=features,
    ):
        dense_few(
            result,
            x_values,
            w_values,
            bias,
            tokens=tokens,
            rows=rows,
            features=features,
            ctx=ctx,
        )
    else:
        dense_many(y, x, w, bias, ctx)


def dense_many(
    y: TileTensor[
        mut=True, DType.bfloat16, address_space=AddressSpace.GENERIC, ...
    ],
    x: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    w: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    bias: Half,
    ctx: DeviceContext,
) raises:
    """Enqueue what `dense_matmul` does, with MAX's matmul for any number of tokens."""
    var result = y.ptr.as_unsafe_any_origin()
    var columns = Int(y.dim[1]())

    @__parameter
    @__copy_capture(result, columns, bias)
    def store[
        value_dtype: DType, width: SIMDLength, *, alignment: Int = 1
    ](at: Coord, value: SIMD[value_dtype, width]):
        var column = Int(at[1])
        var added = bias.unsafe_offset(column).unsafe_load[
            width=width, alignment=2
        ]()
        result.unsafe_offset(Int(at[0]) * columns + column).unsafe_store[
            alignment=alignment
        ](
            (value.cast[DType.float32]() + added.cast[DType.float32]()).cast[
                DType.bfloat16
            ]()
        )

    matmul[transpose_b=True, target="gpu", elementwise_lambda_fn=store](
        y, x, w, ctx
    )


@register("custom.dense.matmul")
struct DenseMatmul:
    """Compute y [M, N] = x [M, K] times w [N, K] transposed, plus bias [N]; bf16 in and out.

    Here and in the other ops w must not be made by the op before: it may be read before that has ended.
    """

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        w: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        bias: InputTensor[dtype=DType.bfloat16, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `dense_matmul`."""
        comptime assert (
            target == "gpu"
        ), "mxfp4 dense matmul needs Hopper (sm_90): it has no CPU kernel"
        check_shapes(y.shape(), x.shape(), w.shape(), x.dim_size(0))
        check_bias(bias.dim_size(0), w.dim_size(0))
        dense_matmul(
            y.to_tile_tensor[DType.int64](),
            x.to_tile_tensor[DType.int64](),
            w.to_tile_tensor[DType.int64](),
            bias.unsafe_ptr().as_unsafe_any_origin(),
            ctx,
        )


@register("custom.dense.matmul_few")
struct DenseMatmulFew:
    """Compute what `custom.dense.matmul` does, with its kernel for few tokens, of which it takes any number.

    MAX's own matmul is compiled for minutes, once for each shape; this has none of it.
    """

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.bfloat16, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        w: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        bias: InputTensor[dtype=DType.bfloat16, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `dense_few`."""
        comptime assert (
            target == "gpu"
        ), "mxfp4 dense matmul needs Hopper (sm_90): it has no CPU kernel"
        check_shapes(y.shape(), x.shape(), w.shape(), x.dim_size(0))
        check_bias(bias.dim_size(0), w.dim_size(0))
        dense_few(
            y.unsafe_ptr().as_unsafe_any_origin(),
            x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            w.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            bias.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            tokens=x.dim_size(0),
            rows=w.dim_size(0),
            features=x.dim_size(1),
            ctx=ctx,
        )


@register("custom.dense.matmul_float32")
struct DenseMatmulFloat32:
    """Compute y [M, N] = x [M, K] times w [N, K] transposed; bf16 in, float32 out."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.float32, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        w: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `dense_head`."""
        comptime assert (
            target == "gpu"
        ), "mxfp4 dense matmul needs Hopper (sm_90): it has no CPU kernel"
        check_shapes(y.shape(), x.shape(), w.shape(), x.dim_size(0))
        dense_head(
            y.unsafe_ptr().as_unsafe_any_origin(),
            x.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            w.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            tokens=x.dim_size(0),
            rows=w.dim_size(0),
            features=x.dim_size(1),
            ctx=ctx,
        )


def check_shapes(
    y: IndexList[2], x: IndexList[2], w: IndexList[2], rows: Int
) raises:
    """Refuse shapes other than y [rows, N], x [M, K], w [N, K]."""
    if w[1] != x[1] or y[0] != rows or y[1] != w[0]:
        raise Error(
            "dense matmul: x is ",
            x,
            ", w ",
            w,
            ", y ",
            y,
            "; they must be [M, K], [N, K] and [",
            rows,
            ", N]",
        )


def check_bias(biases: Int, features: Int) raises:
    """Refuse a bias that is not one number for each output feature."""
    if biases != features:
        raise Error(
            "dense matmul: ",
            features,
            " output features, but ",
            biases,
            " biases",
        )
