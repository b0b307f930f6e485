"""Where a packed weight lies: the order in which the lanes of the kernel consume it.

Weights are the A operand of `wgmma.m64nNk16` (PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk16", matrix A),
so the unit is a tile of 64 weight rows by 64 columns of K:

- codes: u32[N/64][K/64][4 warps][32 lanes][4 k steps]. A lane reads 16 contiguous bytes, a warp 512, a tile 2048. Word
  `s` holds what the lane feeds to k step `s`: registers r = 0..3, each a pair of neighbouring k (low half first).
- scales: u8[N/64][K/64][4 warps][8 row pairs][2 rows][2 blocks]. A lane reads 4 contiguous bytes.

Rows are permuted inside each group of 16: fragment row `g` is weight row `2g`, fragment row `g + 8` is `2g + 1`. Both
rows that a lane owns are then neighbours in the output: stores pair up, and a gate row meets its up row (GPT-OSS
interleaves them) in one lane without a shuffle.

N and K are padded to 64 with codes and scales of zero; tokens are zero beyond K, so the padding adds exactly nothing.
"""

from std.math import ceildiv
from std.memory import Pointer

from max.algorithm import parallelize

from .format import spread_codes

comptime TILE = 64
"""Rows and columns of the unit tile."""

comptime TILE_WORDS = TILE * TILE // 8
"""32-bit words of codes in one tile (512, or 2048 bytes)."""

comptime TILE_SCALES = TILE * TILE // 32
"""Bytes of scales in one tile (128)."""

comptime Bytes = Pointer[UInt8, MutAnyOrigin]
comptime Words = Pointer[UInt32, MutAnyOrigin]


@always_inline
def padded(size: Int) -> Int:
    """`size` rounded up to whole tiles."""
    return ceildiv(size, TILE) * TILE


@always_inline
def _read(
    source: Bytes, row: Int, column: Int, rows: Int, columns: Int
) -> UInt32:
    if row < rows and column < columns:
        return UInt32(source[unsafe_offset=row * columns + column])
    return 0


@always_inline
def pack_word(source: Bytes, word: Int, n: Int, k: Int) -> UInt32:
    """Compute one word of packed codes.

    Args:
        source: Codes of one expert in checkpoint order, u8 [n, k/2]; the low nibble is the even column.
        word: Index of the word within the packed expert.
        n: Rows of the expert (output features).
        k: Columns of the expert (input features), a multiple of 32.
    """
    var step = word & 3
    var lane = (word >> 2) & 31
    var warp = (word >> 7) & 3
    var tile = word // TILE_WORDS
    var column_tiles = ceildiv(k, TILE)
    var row = (tile // column_tiles) * TILE + warp * 16 + (lane >> 2) * 2
    var byte = (tile % column_tiles) * (TILE // 2) + step * 8 + (lane & 3)
    var result = UInt32(0)
    comptime for reg in range(4):
        var codes = _read(
            source, row + (reg & 1), byte + 4 * (reg >> 1), n, k // 2
        )
        result |= spread_codes((codes & 15) | ((codes >> 4) << 16), reg)
    return result


@always_inline
def pack_scale(source: Bytes, index: Int, n: Int, k: Int) -> UInt8:
    """Compute one byte of packed scales.

    Args:
        source: Scales of one expert in checkpoint order, u8 [n, k/32].
        index: Index of the byte within the packed expert.
        n: Rows of the expert.
        k: Columns of the expert, a multiple of 32.
    """
    var tile = index // TILE_SCALES
    var column_tiles = ceildiv(k, TILE)
    # Pair p of warp w covers rows 16w + 2p and 16w + 2p + 1; so row and pair together are just a row number.
    var row = (tile // column_tiles) * TILE + ((index >> 1) & 63)
    var block = (tile % column_tiles) * 2 + (index & 1)
    return UInt8(_read(source, row, block, n, k // 32))


def pack_codes(target: Words, source: Bytes, experts: Int, n: Int, k: Int):
    """Pack the codes of all experts on the host, one task a row of tiles.

    Args:
        target: Packed, u32 [experts, padded(n) * padded(k) / 8].
        source: Checkpoint order, u8 [experts, n, k/2].
        experts: Number of experts.
        n: Rows of an expert.
        k: Columns of an expert, a multiple of 32.
    """
    var per_expert = padded(n) * padded(k) // 8
    var per_task = TILE * padded(k) // 8
    var tasks = per_expert // per_task

    def pack(task: Int) {imm}:
        var expert = task // tasks
        var first = (task % tasks) * per_task
        for i in range(first, first + per_task):
            target[unsafe_offset=expert * per_expert + i] = pack_word(
                source.unsafe_offset(expert * n * (k // 2)), i, n, k
            )

    parallelize(pack, experts * tasks)


def pack_scales(target: Bytes, source: Bytes, experts: Int, n: Int, k: Int):
    """Pack the scales of all experts on the host.

    Args:
        target: Packed, u8 [experts, padded(n) * padded(k) / 32].
        source: Checkpoint order, u8 [experts, n, k/32].
        experts: Number of experts.
        n: Rows of an expert.
        k: Columns of an expert, a multiple of 32.
    """
    var per_expert = padded(n) * padded(k) // 32

    def pack(expert: Int) {imm}:
        for i in range(per_expert):
            target[unsafe_offset=expert * per_expert + i] = pack_scale(
                source.unsafe_offset(expert * n * (k // 32)), i, n, k
            )

    parallelize(pack, experts)
