"""Masks the logits of tokens that a request must not go on with.

A grammar says so with a bit for each token. Requests without one have rows of ones, of which nothing is written.
"""

from std.memory import Pointer
from std.utils.numerics import neg_inf

from extensibility import InputTensor, register
from extensibility import _MutableInputTensor as MutableInputTensor
from max.gpu import block_idx, thread_idx
from max.gpu.host import DeviceContext

comptime MASK_THREADS = 1024

comptime BITS = 32
"""Columns of a word: a warp reads one word and writes its columns."""

comptime Logits = Pointer[Float32, MutAnyOrigin]
comptime Mask = Pointer[UInt32, MutAnyOrigin]


def token_mask_kernel(logits: Logits, mask: Mask, columns: UInt32, words: UInt32):
    """One block a row; see `mask_tokens`."""
    var row = logits.unsafe_offset(Int(block_idx.x) * Int(columns))
    var bits = mask.unsafe_offset(Int(block_idx.x) * Int(words))
    var end = min(Int(columns), Int(words) * BITS)
    for at in range(Int(thread_idx.x), end, MASK_THREADS):
        var word = bits[unsafe_offset=at // BITS]
        if (word >> UInt32(at % BITS)) & 1 == 0:
            row[unsafe_offset=at] = neg_inf[DType.float32]()


def mask_tokens(
    logits: Logits,
    mask: Mask,
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
        grid_dim=rows,
        block_dim=MASK_THREADS,
    )


@register("custom.logits.mask_tokens")
struct LogitsMaskTokens:
    """Make the logits of tokens that are not allowed minus infinity, in place; see `mask_tokens`."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        logits: MutableInputTensor[dtype=DType.float32, rank=2, ...],
        mask: InputTensor[dtype=DType.int32, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`."""
        comptime assert target == "gpu", "logits are masked on a GPU"
        if mask.dim_size(0) != logits.dim_size(0):
            raise Error(
                "token mask: ",
                mask.dim_size(0),
                " rows for logits of ",
                logits.dim_size(0),
            )
        mask_tokens(
            logits.unsafe_ptr().as_unsafe_any_origin(),
            mask.unsafe_ptr()
            .unsafe_mut_cast[True]()
            .unsafe_bitcast[UInt32]()
            .as_unsafe_any_origin(),
            rows=logits.dim_size(0),
            columns=logits.dim_size(1),
            words=mask.dim_size(1),
            ctx=ctx,
        )
