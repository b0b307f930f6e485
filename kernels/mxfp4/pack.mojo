"""Packing: from the checkpoint's order to that of `layout.mojo`, once, when weights are loaded."""

from std.math import ceildiv

from max.algorithm import parallelize
from max.gpu import global_idx
from max.gpu.host import DeviceContext

from .layout import TILE, pack_word, packed_words
from .pointers import Bytes, Words


def pack(
    target: Words, codes: Bytes, scales: Bytes, experts: Int, n: Int, k: Int
):
    """Pack all experts on the host, one task a row of tiles.

    Args:
        target: Packed, u32 [experts, packed_words(n, k)].
        codes: Checkpoint order, u8 [experts, n, k/2].
        scales: Checkpoint order, u8 [experts, n, k/32].
        experts: Number of experts.
        n: Rows of an expert.
        k: Columns of an expert, a multiple of 32.
    """
    var per_expert = packed_words(n, k)
    var tasks = ceildiv(n, TILE)
    var per_task = per_expert // tasks

    def pack_row(task: Int) {imm}:
        var expert = task // tasks
        var first = (task % tasks) * per_task
        for i in range(first, first + per_task):
            target[unsafe_offset=expert * per_expert + i] = pack_word(
                codes.unsafe_offset(expert * n * (k // 2)),
                scales.unsafe_offset(expert * n * (k // 32)),
                i,
                n,
                k,
            )

    parallelize(pack_row, experts * tasks)


def pack_kernel(
    target: Words,
    codes: Bytes,
    scales: Bytes,
    n: UInt32,
    k: UInt32,
    words: UInt64,
):
    """One thread a word: pack `words` words of experts that follow each other; see `pack` for the rest."""
    var index = Int(global_idx.x)
    if index < Int(words):
        var per_expert = packed_words(Int(n), Int(k))
        var expert = index // per_expert
        target[unsafe_offset=index] = pack_word(
            codes.unsafe_offset(expert * Int(n) * (Int(k) // 2)),
            scales.unsafe_offset(expert * Int(n) * (Int(k) // 32)),
            index % per_expert,
            Int(n),
            Int(k),
        )


def pack_on_gpu(
    target: Words,
    codes: Bytes,
    scales: Bytes,
    experts: Int,
    n: Int,
    k: Int,
    ctx: DeviceContext,
) raises:
    """Enqueue what `pack` does on `ctx`."""
    var words = experts * packed_words(n, k)
    if words == 0:
        return
    ctx.enqueue_function[pack_kernel](
        target,
        codes,
        scales,
        UInt32(n),
        UInt32(k),
        UInt64(words),
        grid_dim=(words + 255) // 256,
        block_dim=256,
    )
