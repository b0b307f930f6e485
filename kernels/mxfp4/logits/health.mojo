"""Counts logits that cannot be: rows with a value that is not finite, and rows whose values are all the same.

A broken weight or kernel ends in such rows, and a sampler draws tokens from them all the same. The counts stay on the
device and only grow; the host reads them now and then, so no step waits for it.
"""

from std.atomic import Atomic
from std.math import isfinite
from std.memory import stack_allocation

from max.gpu import barrier, block_idx, thread_idx
from max.gpu.host import DeviceContext
from max.gpu.memory import AddressSpace

from ..pointers import Floats, Words

comptime HEALTH_THREADS = 1024
comptime COUNT_BYTES = 16
"""How much of the buffer's end is the counts': rows that are not finite, rows all alike, two unused."""


def health_kernel(counts: Words, logits: Floats, columns: UInt32):
    """One block a row; see `count_broken`."""
    # Whether a value is not finite, and whether one differs from the first.
    var found = stack_allocation[2, UInt32, address_space=AddressSpace.SHARED]()
    var thread = Int(thread_idx.x)
    if thread < 2:
        found[unsafe_offset=thread] = 0
    barrier()
    var row = logits.unsafe_offset(Int(block_idx.x) * Int(columns))
    var first = row[unsafe_offset=0]
    var broken = False
    var differs = False
    for at in range(thread, Int(columns), HEALTH_THREADS):
        var value = row[unsafe_offset=at]
        broken = broken or not isfinite(value)
        differs = differs or value != first
    # All that write here write the same.
    if broken:
        found[unsafe_offset=0] = 1
    if differs:
        found[unsafe_offset=1] = 1
    barrier()
    if thread == 0:
        if found[unsafe_offset=0] == 1:
            _ = Atomic.fetch_add(counts, UInt32(1))
        elif found[unsafe_offset=1] == 0 and columns > 1:
            _ = Atomic.fetch_add(counts.unsafe_offset(1), UInt32(1))


def count_broken(
    counts: Words,
    logits: Floats,
    *,
    rows: Int,
    columns: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue the count on `ctx`; nothing waits for the host.

    Args:
        counts: Two u32, to which is added: rows that are not finite, rows whose values are all the same.
        logits: Float32 [rows, columns].
        rows: Number of rows.
        columns: Number of values in a row.
        ctx: The device.
    """
    if rows == 0 or columns == 0:
        return
    ctx.enqueue_function[health_kernel](
        counts,
        logits,
        UInt32(columns),
        grid_dim=rows,
        block_dim=HEALTH_THREADS,
    )
