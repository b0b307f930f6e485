"""The dense matmuls, as MAX graphs call them: M rows, N output and K input features."""

from std.utils import IndexList

from extensibility import InputTensor, OutputTensor, register
from max.gpu.host import DeviceContext

from ..dense.matmul import dense_logits, dense_matmul


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
        """Enqueue on `ctx`; see `dense_logits`."""
        comptime assert (
            target == "gpu"
        ), "mxfp4 dense matmul needs Hopper (sm_90): it has no CPU kernel"
        check_shapes(y.shape(), x.shape(), w.shape(), x.dim_size(0))
        dense_logits(
            y.to_tile_tensor[DType.int64](),
            x.to_tile_tensor[DType.int64](),
            w.to_tile_tensor[DType.int64](),
            ctx,
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
