"""The mask of tokens that a grammar does not allow, on a Hopper GPU."""

from std.utils.numerics import neg_inf

from max.gpu.host import DeviceContext

from harness import NEEDS_HOPPER, Report, has_hopper
from mxfp4.logits.token_mask import mask_tokens

comptime ROWS = 5


def pattern(word: Int) -> UInt32:
    """Words of many kinds: none, all, the first and the last bit, and mixed ones."""
    var kind = word % 6
    if kind == 0:
        return 0xFFFFFFFF
    if kind == 1:
        return 0
    if kind == 2:
        return 1
    if kind == 3:
        return 0x80000000
    return UInt32(word) * 2654435761


def check(
    mut report: Report, ctx: DeviceContext, columns: Int, words: Int
) raises:
    """Columns without a bit are minus infinity, others and what lies beyond the mask or the last row stay."""
    var size = (ROWS + 1) * columns
    var logits = ctx.enqueue_create_buffer[DType.float32](size)
    logits.enqueue_fill(2.5)
    var mask = ctx.enqueue_create_buffer[DType.uint32](ROWS * words)
    with mask.map_to_host() as host:
        for at in range(ROWS * words):
            host[at] = pattern(at)
    mask_tokens(
        logits.unsafe_ptr().as_unsafe_any_origin(),
        mask.unsafe_ptr().as_unsafe_any_origin(),
        rows=ROWS,
        columns=columns,
        words=words,
        ctx=ctx,
    )
    var wrong = 0
    with logits.map_to_host() as host:
        for at in range(size):
            var row = at // columns
            var column = at % columns
            var masked = False
            if row < ROWS and column < words * 32:
                var word = pattern(row * words + column // 32)
                masked = (word >> UInt32(column % 32)) & 1 == 0
            var expected = neg_inf[DType.float32]() if masked else Float32(2.5)
            wrong += Int(host[at] != expected)
    report.check(
        String(words, " words for ", columns, " columns"),
        wrong,
        "values are wrong",
    )


def main() raises:
    var report = Report()
    if not has_hopper():
        report.skipped("token mask", NEEDS_HOPPER)
        return
    var ctx = DeviceContext()
    for columns, words in [
        (1, 1),
        (31, 1),
        (33, 2),
        (64, 2),
        (300, 7),
        (300, 12),
    ]:
        check(report, ctx, columns, words)
    check(report, ctx, 201088, 6251)
    check(report, ctx, 201088, 6284)
    report.finish()
