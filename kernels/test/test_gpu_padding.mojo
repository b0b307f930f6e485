"""The mask of logits that stand for no token, on a Hopper GPU."""

from std.utils.numerics import neg_inf

from max.gpu.host import DeviceContext

from harness import NEEDS_HOPPER, Report, has_hopper
from mxfp4.logits.padding import mask_padding

comptime ROWS = 5


def check(
    mut report: Report, ctx: DeviceContext, columns: Int, tokens: Int
) raises:
    """All columns before `tokens` stay, all others are minus infinity, and nothing behind the last row is written."""
    var size = (ROWS + 1) * columns
    var logits = ctx.enqueue_create_buffer[DType.float32](size)
    logits.enqueue_fill(2.5)
    mask_padding(
        logits.unsafe_ptr().as_unsafe_any_origin(),
        tokens=tokens,
        rows=ROWS,
        columns=columns,
        ctx=ctx,
    )
    var wrong = 0
    with logits.map_to_host() as host:
        for at in range(size):
            var masked = at < ROWS * columns and at % columns >= tokens
            var expected = neg_inf[DType.float32]() if masked else Float32(2.5)
            wrong += Int(host[at] != expected)
    report.check(
        String(tokens, " tokens in ", columns, " columns"),
        wrong,
        "values are wrong",
    )


def main() raises:
    var report = Report()
    if not has_hopper():
        report.skipped("padding", NEEDS_HOPPER)
        return
    var ctx = DeviceContext()
    for columns, tokens in [(1, 1), (2, 1), (300, 7), (33, 33), (33, 40)]:
        check(report, ctx, columns, tokens)
    check(report, ctx, 201088, 200019)
    report.finish()
