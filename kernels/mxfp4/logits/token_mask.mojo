"""Masks the logits of tokens that a request must not go on with.

A grammar says so with a bit for each token. Requests without one have rows of ones, of which nothing is written.
"""

from std.utils.numerics import neg_inf

from max.gpu import block_idx, grid_dim, thread_idx
from max.gpu.host import DeviceContext

from ..pointers import Floats, Words

comptime MASK_THREADS = 256

comptime MASK_BLOCKS = 64
"""Blocks of a row. One alone would wait 196 times for a word of GPT-OSS's 201088 columns, with 1024 threads."""

comptime BITS = 32
"""Columns of a word: a warp reads one word and writes its columns."""


def token_mask_kernel(
    logits: Floats, mask: Words, columns: UInt32, words: UInt32
):
    """A row of blocks for each row; see `mask_tokens`."""
    var row = logits.unsafe_offset(Int(block_idx.y) * Int(columns))
    var bits = mask.unsafe_offset(Int(block_idx.y) * Int(words))
    var end = min(Int(columns), Int(words) * BITS)
    var first = Int(block_idx.x) * MASK_THREADS + Int(thread_idx.x)
    for at in range(first, end, Int(grid_dim.x) * MASK_THREADS):
        var word = bits[unsafe_offset=at // BITS]
        if (word >> UInt32(at % BITS)) & 1 == 0:
            row[unsafe_offset=at] = neg_inf[DType.float32]()


def mask_tokens(
    logits: Floats,
    mask: Words,
    *,
    rows: Int,
    columns: Int,
    words: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue on `ctx`: the values whose bits are not set become minus infinity.

    Args:
        logits: Float32 [rows, columns].
        mask: U32 [rows, words], a bit a column from the least one of the first word on; columns beyond stay.
        rows: Number of rows.
        columns: Number of values in a row.
        words: Number of words in a row of the mask.
        ctx: The device.
    """
    if rows == 0 or columns == 0 or words == 0:
        return
    ctx.enqueue_function[token_mask_kernel](
        logits,
        mask,
        UInt32(columns),
        UInt32(words),
        grid_dim=(MASK_BLOCKS, rows),
        block_dim=MASK_THREADS,
    )
