"""Masks the columns of logits that stand for no token.

A head has more rows than its vocabulary has tokens: 201088 beside the 200019 of GPT-OSS's tokenizer. A sampler must not draw
from what is left over. MAX's masks it in a copy of all logits; here nothing but those columns is written.
"""

from std.utils.numerics import neg_inf

from max.gpu import block_idx, thread_idx
from max.gpu.host import DeviceContext

from ..pointers import Floats

comptime PADDING_THREADS = 256


def padding_kernel(logits: Floats, tokens: UInt32, columns: UInt32):
    """One block a row; see `mask_padding`."""
    var row = logits.unsafe_offset(Int(block_idx.x) * Int(columns))
    for at in range(
        Int(tokens) + Int(thread_idx.x), Int(columns), PADDING_THREADS
    ):
        row[unsafe_offset=at] = neg_inf[DType.float32]()


def mask_padding(
    logits: Floats,
    *,
    tokens: Int,
    rows: Int,
    columns: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue on `ctx`: from column `tokens` on, all values become minus infinity.

    Args:
        logits: Float32 [rows, columns].
        tokens: Number of columns that stay.
        rows: Number of rows.
        columns: Number of values in a row.
        ctx: The device.
    """
    if rows == 0 or tokens >= columns:
        return
    ctx.enqueue_function[padding_kernel](
        logits,
        UInt32(tokens),
        UInt32(columns),
        grid_dim=rows,
        block_dim=PADDING_THREADS,
    )
