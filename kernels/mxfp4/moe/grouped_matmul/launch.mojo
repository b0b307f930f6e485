"""How the grouped matmul is enqueued, and which of its shapes is taken."""

from std.math import ceildiv, exp, sqrt

from max.gpu.host import DeviceAttribute, DeviceContext, FuncAttribute
from max.gpu.primitives.grid_controls import PDLLevel, pdl_launch_attributes

from ...layout import TILE
from ...pointers import BF16, Bytes, ExpertIds, GroupStarts, RowIndices
from ..schedule import MAX_GROUPS
from .config import Config, WIDTHS, least_row_tiles
from .kernel import grouped_matmul_kernel
from .shared_memory import SharedMemory


def tile_tokens(m: Int, groups: Int) -> Int:
    """Most tokens in a tile, one of `WIDTHS`, for `m` rows in `groups` groups, of which only the average is known on the host.

    So wide that hardly any group needs a second tile, for which its weights would be decoded again: the average and 2.6
    standard deviations.
    """
    var average = Float32(m) / Float32(groups)
    var wanted = average + 2.6 * sqrt(average)
    comptime WIDEST = WIDTHS[len(WIDTHS) - 1]
    comptime for i in range(len(WIDTHS)):
        comptime width = WIDTHS[i]
        if wanted <= Float32(width):
            return width
    return WIDEST


def unit_row_tiles(m: Int, n: Int, groups: Int, processors: Int) -> Int:
    """Tiles of 64 weight rows in a unit of work: two, or one where only few tokens come and units of two are few.

    A unit of one has as much to do at its end as one of two; but in the last round of units, most multiprocessors may have
    none. Which groups have rows is not known on the host: as many as if each row chose its group by chance.
    """
    if least_row_tiles(tile_tokens(m, groups)) == 2:
        return 2
    var active = Float32(groups) * (1 - exp(-Float32(m) / Float32(groups)))
    var units = active * Float32(ceildiv(n, 2 * TILE))
    return 2 if units >= Float32(8 * processors) else 1


def _launch[
    TOKENS: Int,
    ROW_TILES: Int,
    EPILOGUE: Int,
    GATHER: Bool,
    AFTER_PRODUCT: Bool,
](
    y: BF16,
    x: BF16,
    sources: RowIndices,
    weights: Bytes,
    bias: BF16,
    starts: GroupStarts,
    ids: ExpertIds,
    counter: UInt64,
    n: Int,
    k: Int,
    groups: Int,
    processors: Int,
    ctx: DeviceContext,
) raises:
    comptime kernel = grouped_matmul_kernel[
        TOKENS, ROW_TILES, EPILOGUE, GATHER, AFTER_PRODUCT
    ]
    comptime shared = SharedMemory[TOKENS, ROW_TILES].BYTES
    ctx.enqueue_function[kernel](
        y,
        x,
        sources,
        weights,
        bias,
        starts,
        ids,
        counter,
        UInt32(n),
        UInt32(k),
        UInt32(groups),
        grid_dim=processors,
        block_dim=Config[TOKENS, ROW_TILES].THREADS,
        attributes=pdl_launch_attributes(PDLLevel.ON),
        shared_mem_bytes=shared,
        func_attribute=FuncAttribute.MAX_DYNAMIC_SHARED_SIZE_BYTES(
            UInt32(shared)
        ),
    )


def grouped_matmul[
    EPILOGUE: Int, GATHER: Bool = False, AFTER_PRODUCT: Bool = False
](
    y: BF16,
    x: BF16,
    sources: RowIndices,
    weights: Bytes,
    bias: BF16,
    starts: GroupStarts,
    ids: ExpertIds,
    *,
    m: Int,
    n: Int,
    k: Int,
    groups: Int,
    ctx: DeviceContext,
    counter: UInt64 = 0,
) raises:
    """Enqueue the grouped matmul on `ctx`; nothing waits for the host.

    Parameters:
        EPILOGUE: `PLAIN`, `BIAS` or `SWIGLU`.
        GATHER: Whether row i of the grouped tokens is row `sources[i]` of `x`.
        AFTER_PRODUCT: Whether what was enqueued on `ctx` just before is a `grouped_matmul` with the same `starts` and `ids`, and
            made `x`: then weights come while that one ends. If it is another kernel, `starts` and `ids` are read too early.

    Args:
        y: Result, bf16 [m, n], or [m, n/2] for `SWIGLU`. Rows that belong to no group, or to a group with a negative
            expert id, are left as they are.
        x: Tokens grouped by expert, bf16 [m, k]; with `GATHER` in any order and number.
        sources: Rows of `x`, u32 [m]; not read without `GATHER`.
        weights: Packed weights of all experts (`layout.mojo`).
        bias: Added to the sums, bf16 [experts, n]; not read for `PLAIN`.
        starts: First row of each group and the end of the last, u32 [groups + 1], ascending, at most m.
        ids: Expert of each group, i32 [groups].
        m: Grouped rows.
        n: Output features, a multiple of 32.
        k: Input features, a multiple of 32.
        groups: Number of groups, at most 1024.
        ctx: The device, compute capability 9.0.
        counter: Address of a u32 on the device that is 0, and is again when the kernel has ended: multiprocessors then take
            the next work whenever they are free. No other kernel may use it meanwhile. Without, 0, each has its share of the
            work from the beginning.

    Raises:
        When a shape is outside these limits, or the launch fails.
    """
    if n % 32 != 0 or k % 32 != 0 or n <= 0 or k <= 0:
        raise Error(
            "mxfp4 grouped matmul: N and K must be positive multiples of 32, got N = ",
            n,
            ", K = ",
            k,
        )
    if groups > MAX_GROUPS:
        raise Error(
            "mxfp4 grouped matmul: at most ",
            MAX_GROUPS,
            " expert groups, got ",
            groups,
        )
    if m == 0 or groups == 0:
        return

    var processors = Int(
        ctx.get_attribute(DeviceAttribute.MULTIPROCESSOR_COUNT)
    )
    var wanted = tile_tokens(m, groups)
    var row_tiles_wanted = unit_row_tiles(m, n, groups, processors)
    comptime for i in range(len(WIDTHS)):
        comptime tokens = WIDTHS[i]
        comptime for row_tiles in range(least_row_tiles(tokens), 3):
            if wanted == tokens and row_tiles_wanted == row_tiles:
                _launch[tokens, row_tiles, EPILOGUE, GATHER, AFTER_PRODUCT](
                    y,
                    x,
                    sources,
                    weights,
                    bias,
                    starts,
                    ids,
                    counter,
                    n,
                    k,
                    groups,
                    processors,
                    ctx,
                )
