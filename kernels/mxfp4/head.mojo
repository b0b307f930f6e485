"""The language model's head: logits in float32.

MAX's own matmul rounds its result to the dtype of its inputs. Logits of 4 to 8 in bf16 are 2^-5 apart, and what a
client reads as log-probabilities would be that coarse, however exact the layers before were.
"""

from extensibility import InputTensor, OutputTensor, register
from linalg.matmul import matmul
from max.gpu.host import DeviceContext


@register("custom.head.logits")
struct Logits:
    """Compute y [M, V] = x [M, K] times w [V, K] transposed, bf16 in and float32 out."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        y: OutputTensor[dtype=DType.float32, rank=2, ...],
        x: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        w: InputTensor[dtype=DType.bfloat16, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; products are accumulated, and left, in float32."""
        if (
            w.dim_size(1) != x.dim_size(1)
            or y.dim_size(0) != x.dim_size(0)
            or y.dim_size(1) != w.dim_size(0)
        ):
            raise Error(
                "logits: x is [",
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
                "]; they must be [M, K], [V, K] and [M, V]",
            )
        matmul[transpose_b=True, target=target](
            y.to_tile_tensor[DType.int64](),
            x.to_tile_tensor[DType.int64](),
            w.to_tile_tensor[DType.int64](),
            ctx,
        )
