"""The counts of logits that cannot be, on a Hopper GPU."""

from std.utils.numerics import inf, nan

from max.gpu.host import DeviceContext

from harness import NEEDS_HOPPER, Report, has_hopper
from mxfp4.logits.health import count_broken

comptime ROWS = 7


def check(mut report: Report, ctx: DeviceContext, columns: Int) raises:
    """Seven rows: two in order, two with one NaN, one with an infinity, two all alike."""
    var logits = ctx.enqueue_create_buffer[DType.float32](ROWS * columns)
    var counts = ctx.enqueue_create_buffer[DType.uint32](4)
    counts.enqueue_fill(0)
    with logits.map_to_host() as host:
        for row in range(ROWS):
            for column in range(columns):
                host[row * columns + column] = Float32(
                    column % 1000
                ) if row < 5 else Float32(-3)
        host[2 * columns] = nan[DType.float32]()
        host[4 * columns - 1] = nan[DType.float32]()
        host[4 * columns + columns // 2] = -inf[DType.float32]()
    for _ in range(2):
        count_broken(
            counts.unsafe_ptr().as_unsafe_any_origin(),
            logits.unsafe_ptr().as_unsafe_any_origin(),
            rows=ROWS,
            columns=columns,
            ctx=ctx,
        )
    with counts.map_to_host() as host:
        report.check(
            String("rows of ", columns, " logits that cannot be"),
            Int(host[0] != 6) + Int(host[1] != 4) + Int(host[2] + host[3]),
            String("counts are wrong: ", host[0], " and ", host[1]),
        )


def main() raises:
    var report = Report()
    if not has_hopper():
        report.skipped("logits health", NEEDS_HOPPER)
        return
    var ctx = DeviceContext()
    for columns in [2, 33, 1024, 201088]:
        check(report, ctx, columns)
    report.finish()
