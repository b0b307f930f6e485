"""A dense matmul that stays within its output: MAX's own, with the results stored here.

Left to store them itself, the sm_90 matmul of MAX 26.7 writes whole tiles of 64 rows, also where the output ends before:
with 6 tokens, 58 rows of whatever stands behind it in memory. In GPT-OSS that was the residual stream, after the
attention's output projection. Given an epilogue it stores each value by itself and within bounds.
"""

from extensibility import InputTensor, OutputTensor, register
from layout import Coord, TileTensor
from linalg.matmul import matmul
from max.gpu.host import DeviceContext
from max.gpu.memory import AddressSpace


def dense_matmul[
    dtype: DType
](
    y: TileTensor[mut=True, dtype, address_space=AddressSpace.GENERIC, ...],
    x: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    w: TileTensor[DType.bfloat16, address_space=AddressSpace.GENERIC, ...],
    ctx: DeviceContext,
) raises:
    """Enqueue y [M, N] = x [M, K] times w [N, K] transposed; products are accumulated in float32 and rounded once.

    N and K must be known when this is compiled, or MAX takes another, slower way.
    """
    var result = y.ptr.as_unsafe_any_origin()
    var columns = Int(y.dim[1]())

    @__parameter
    @__copy_capture(result, columns)
    def store[
        value_dtype: DType, width: SIMDLength, *, alignment: Int = 1
    ](at: Coord, value: SIMD[value_dtype, width]):
        result.unsafe_offset(Int(at[0]) * columns + Int(at[1])).unsafe_store[
            alignment=alignment
        ](value.cast[dtype]())

    matmul[transpose_b=True, target="gpu", elementwise_lambda_fn=store](
        y, x, w, ctx
    )


@register("custom.dense.matmul")
struct DenseMatmul:
    """Compute y [M, N] = x [M, K] times w [N, K] transposed; bf16 in and out."""

    @staticmethod
    def execute[
        dtype: DType, target: StaticString
    ](
        y: OutputTensor[dtype=dtype, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        w: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; see `dense_matmul`."""
        if (
            w.dim_size(1) != x.dim_size(1)
            or y.dim_size(0) != x.dim_size(0)
            or y.dim_size(1) != w.dim_size(0)
        ):
            raise Error(
                "dense matmul: x is [",
                x.dim_size(0),
                ", ",
                x.dim_size(1),
                "], w [",
                w.dim_size(0),
                ", ",
                w.dim_size(1),
                "], y [",
                y.dim_size(0),
                ", ",
                y.dim_size(1),
                "]; they must be [M, K], [N, K] and [M, N]",
            )
        comptime assert (
            target == "gpu"
        ), "mxfp4 dense matmul needs Hopper (sm_90): it has no CPU kernel"
        dense_matmul(
            y.to_tile_tensor[DType.int64](),
            x.to_tile_tensor[DType.int64](),
            w.to_tile_tensor[DType.int64](),
            ctx,
        )
