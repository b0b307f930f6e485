"""Where a packed weight lies: the order in which the lanes of the kernel consume it.

Weights are the A operand of `wgmma.m64nNk16` (PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk16", matrix A),
so the unit is a tile of 64 weight rows by 64 columns of K, 2176 bytes:

- first its codes, u32[4 warps][32 lanes][4 k steps]: a lane reads 16 contiguous bytes, a warp 512, a tile 2048. Word `s`
  holds what the lane feeds to k step `s`: registers r = 0..3, each a pair of neighbouring k (low half first);
- then its scales, u8[4 warps][8 row pairs][2 rows][2 blocks]: a lane reads 4 contiguous bytes, a tile 128.

Tiles stand in the order [N/64][K/64], so the tiles of successive k of the same rows are one stretch of memory and any
number of them is one bulk copy.

Rows are permuted inside each group of 16: fragment row `g` is weight row `2g`, fragment row `g + 8` is `2g + 1`. Both
rows that a lane owns are then neighbours in the output: stores pair up, and a gate row meets its up row (GPT-OSS
interleaves them) in one lane without a shuffle.

N and K are padded to 64 with codes and scales of zero; tokens are zero beyond K, so the padding adds exactly nothing.
"""

from std.math import ceildiv

from .format import spread_codes
from .pointers import Bytes, Words

comptime TILE = 64
"""Rows and columns of the unit tile."""

comptime CODE_WORDS = TILE * TILE // 8
"""32-bit words of codes in one tile (512, or 2048 bytes)."""

comptime TILE_WORDS = CODE_WORDS + TILE * TILE // 128
"""32-bit words of codes and scales in one tile (544, or 2176 bytes)."""


@always_inline
def padded(size: Int) -> Int:
    """`size` rounded up to whole tiles."""
    return ceildiv(size, TILE) * TILE


@always_inline
def packed_words(n: Int, k: Int) -> Int:
    """32-bit words of one expert with `n` rows and `k` columns."""
    return ceildiv(n, TILE) * ceildiv(k, TILE) * TILE_WORDS


@always_inline
def _read(
    source: Bytes, row: Int, column: Int, rows: Int, columns: Int
) -> UInt32:
    if row < rows and column < columns:
        return UInt32(source[unsafe_offset=row * columns + column])
    return 0


@always_inline
def pack_word(codes: Bytes, scales: Bytes, word: Int, n: Int, k: Int) -> UInt32:
    """Compute one word of a packed expert.

    Args:
        codes: Codes of the expert in checkpoint order, u8 [n, k/2]; the low nibble is the even column.
        scales: Scales of the expert in checkpoint order, u8 [n, k/32].
        word: Index of the word within the packed expert.
        n: Rows of the expert (output features).
        k: Columns of the expert (input features), a multiple of 32.
    """
    var tile = word // TILE_WORDS
    var within = word % TILE_WORDS
    var column_tiles = ceildiv(k, TILE)
    var first_row = (tile // column_tiles) * TILE
    var first_column = (tile % column_tiles) * TILE
    var result = UInt32(0)
    if within < CODE_WORDS:
        var step = within & 3
        var lane = (within >> 2) & 31
        var warp = within >> 7
        var row = first_row + warp * 16 + (lane >> 2) * 2
        var byte = first_column // 2 + step * 8 + (lane & 3)
        comptime for reg in range(4):
            var pair = _read(
                codes, row + (reg & 1), byte + 4 * (reg >> 1), n, k // 2
            )
            result |= spread_codes((pair & 15) | ((pair >> 4) << 16), reg)
    else:
        # Pair p of warp w covers rows 16w + 2p and 16w + 2p + 1: warp and pair together number the pairs.
        var row = first_row + (within - CODE_WORDS) * 2
        comptime for i in range(4):
            result |= _read(
                scales, row + i // 2, first_column // 32 + i % 2, n, k // 32
            ) << UInt32(8 * i)
    return result
