"""How wide tiles are for so many rows, and that the check before serving tries every width.

The sizes stand in `python/mxfp4/gpt_oss/self_check.py` (`TOKENS`, `TOP`, `EXPERTS`); its tests compare them with these.
"""

from harness import Report
from mxfp4.moe.grouped_matmul.config import WIDTHS
from mxfp4.moe.grouped_matmul.launch import tile_tokens, unit_row_tiles
from mxfp4.moe.router_few import few_tokens
from mxfp4.moe.router import route_wide

comptime TOP = 4
comptime EXPERTS = 8


def main() raises:
    var report = Report()
    var tokens = [6, 12, 30, 64, 140, 300]
    var widths = materialize[WIDTHS]()
    var next = 0
    var routers = 0
    var clusters = 0
    for count in tokens:
        var wanted = widths[next]
        next += 1
        var width = tile_tokens(count * TOP, EXPERTS)
        report.check(
            String(count, " tokens take tiles of ", wanted),
            Int(width != wanted),
            String("width, it is ", width),
        )
        routers += Int(route_wide(count))
        clusters |= 0 if route_wide(count) else few_tokens(count)
    report.check(
        "the widest is the last there is",
        len(widths) - next,
        "width is missing",
    )
    report.check(
        "both routers are tried",
        Int(routers == 0 or routers == len(tokens)),
        "router is not",
    )
    report.check(
        "clusters for 8 and for 16 tokens are tried",
        Int(clusters != 8 | 16),
        "size is not",
    )
    # GPT-OSS's projections on an H100: rows, output features, experts, and how many tiles of rows a unit has.
    for m, n, experts, want in [
        (4, 5760, 32, 1),
        (64, 5760, 32, 2),
        (256, 5760, 32, 2),
        (256, 2880, 32, 1),
        (1024, 2880, 32, 2),
        (256, 2880, 128, 2),
    ]:
        report.check(
            String(m, " rows, ", experts, " experts, ", n, " features: ", want),
            Int(unit_row_tiles(m, n, experts, 132) != want),
            "tiles of rows, it is the other",
        )
    report.finish()
