"""What is done to the logits before a sampler draws from them, as MAX graphs call it."""

from extensibility import InputTensor, register
from extensibility import _MutableInputTensor as MutableInputTensor
from max.gpu.host import DeviceContext

from ..logits.health import COUNT_BYTES, count_broken
from ..logits.padding import mask_padding
from ..logits.token_mask import mask_tokens


@register("custom.logits.health")
struct LogitsHealth:
    """Add to the counts at the end of a buffer how many rows of logits cannot be; see `count_broken`."""

    @staticmethod
    def execute[
        target: StaticString
    ](
        buffer: MutableInputTensor[dtype=DType.uint8, rank=1, ...],
        logits: InputTensor[dtype=DType.float32, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`. The last `COUNT_BYTES` bytes of the buffer are the counts."""
        comptime assert target == "gpu", "the logits' health is told on a GPU"
        var size = buffer.dim_size(0)
        if size < COUNT_BYTES or size % COUNT_BYTES != 0:
            raise Error(
                "logits health: the buffer must have a multiple of ",
                COUNT_BYTES,
                " bytes, got ",
                size,
            )
        count_broken(
            buffer.unsafe_ptr()
            .unsafe_offset(size - COUNT_BYTES)
            .unsafe_bitcast[UInt32]()
            .as_unsafe_any_origin(),
            logits.unsafe_ptr().unsafe_mut_cast[True]().as_unsafe_any_origin(),
            rows=logits.dim_size(0),
            columns=logits.dim_size(1),
            ctx=ctx,
        )


@register("custom.logits.mask_padding")
struct LogitsMaskPadding:
    """Make the logits of columns that stand for no token minus infinity, in place; see `mask_padding`."""

    @staticmethod
    def execute[
        target: StaticString, tokens: Int
    ](
        logits: MutableInputTensor[dtype=DType.float32, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        """Enqueue on `ctx`; `tokens` columns stay."""
        comptime assert target == "gpu", "logits are masked on a GPU"
        mask_padding(
            logits.unsafe_ptr().as_unsafe_any_origin(),
            tokens=tokens,
            rows=logits.dim_size(0),
            columns=logits.dim_size(1),
            ctx=ctx,
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
